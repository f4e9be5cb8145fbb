//! Places as members of sorted sets, and searches among them.

use bytes::Bytes;

use super::zset;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::value::geohash::{Area, Point};
use crate::value::zset::{ScoreBound, Zset};

/// The place of a member.
pub(crate) fn position(work: &mut Work<'_>, key: &[u8], member: &[u8]) -> Result<Option<Point>> {
    let score = work.zset(key)?.and_then(|zset| zset.score(member));
    Ok(score.map(Point::of_score))
}

/// The score of a place.
pub(crate) fn score(point: Point) -> Result<f64> {
    if point.is_valid() {
        return Ok(point.score());
    }
    let Point {
        longitude,
        latitude,
    } = point;
    Err(Error::refused_with(format!(
        "ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
    )))
}

/// Meters between two members, if both are there.
pub(crate) fn distance(work: &mut Work<'_>, key: &[u8], a: &[u8], b: &[u8]) -> Result<Option<f64>> {
    let (a, b) = (position(work, key, a)?, position(work, key, b)?);
    Ok(a.zip(b).map(|(a, b)| a.distance(b)))
}

/// In which order matches are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Nearest,
    Farthest,
}

/// What to search for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    pub(crate) middle: Point,
    pub(crate) area: Area,
    pub(crate) order: Option<Order>,
    /// Most matches wanted; 0 for all.
    pub(crate) count: usize,
    /// Whether any matches will do, instead of the first in order.
    pub(crate) any: bool,
}

/// A member inside the area.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub(crate) member: Bytes,
    pub(crate) score: f64,
    pub(crate) place: Point,
    /// Meters from the middle.
    pub(crate) distance: f64,
}

/// The members inside an area.
///
/// # Complexity
///
/// O(m log m + log n), where m are the members in the nine cells around the area.
pub(crate) fn search(work: &mut Work<'_>, key: &[u8], search: &Search) -> Result<Vec<Match>> {
    let Some(zset) = work.zset(key)? else {
        return Ok(Vec::new());
    };
    let most = if search.any && search.count > 0 {
        search.count
    } else {
        usize::MAX
    };
    let mut found = matches(zset, search, most);
    // Without an order the nearest are meant when only some are wanted.
    let implied = (search.count > 0 && !search.any).then_some(Order::Nearest);
    match search.order.or(implied) {
        Some(Order::Nearest) => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
        Some(Order::Farthest) => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
        None => {}
    }
    if search.count > 0 {
        found.truncate(search.count);
    }
    Ok(found)
}

/// Up to `most` members inside the area, cell by cell.
fn matches(zset: &Zset, search: &Search, most: usize) -> Vec<Match> {
    let mut found = Vec::new();
    for cell in search.area.cells(search.middle) {
        let (low, high) = cell.scores();
        let bound = |score, exclusive| ScoreBound { score, exclusive };
        let ranks = zset.ranks_by_score(bound(low, false), bound(high, true));
        for item in zset.iter(ranks) {
            let place = Point::of_score(item.score);
            let Some(distance) = search.area.distance(search.middle, place) else {
                continue;
            };
            found.push(Match {
                member: Bytes::copy_from_slice(item.member),
                score: item.score,
                place,
                distance,
            });
            if found.len() >= most {
                return found;
            }
        }
    }
    found
}

/// Stores matches as a sorted set at `target`, with what `score` says; their number.
pub(crate) fn store(
    work: &mut Work<'_>,
    target: &[u8],
    event: &'static str,
    found: Vec<Match>,
    score: impl Fn(&Match) -> f64,
) -> Result<usize> {
    let items: Vec<zset::Scored> = found
        .into_iter()
        .map(|found| {
            let score = score(&found);
            (found.member, score)
        })
        .collect();
    zset::store(work, target, event, &items)?;
    Ok(items.len())
}
