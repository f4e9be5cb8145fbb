//! Chapter: places.

use super::args::{self, Args, Options};
use super::reply::Reply;
use super::row::{At, Command, ONE, TWO, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::number;
use crate::ops::geo::{self, Match, Order, Search};
use crate::ops::zset::{self, AddIf};
use crate::value::Kind;
use crate::value::geohash::{Area, Point, score_bits};

pub(super) static ROWS: &[Command] = rows! { "geo";
    "geoadd" -5 WRITE | GROW, ONE, data(geoadd), "3.2.0", "O(log n) a member",
        "Adds places";
    "geodist" -4 READ, ONE, data(geodist), "3.2.0", "O(1)",
        "Distance of two places";
    "geohash" -2 READ, ONE, data(geohash), "3.2.0", "O(members)",
        "Geohashes of places";
    "geopos" -2 READ, ONE, data(geopos), "3.2.0", "O(members)",
        "Coordinates of places";
    "georadius" -6 WRITE | GROW, At::Custom(radius_keys), data(georadius), "3.2.0", "O(m log m + log n)",
        "Finds places around a point";
    "georadius_ro" -6 READ, ONE, data(georadius_ro), "3.2.10", "O(m log m + log n)",
        "Finds places around a point";
    "georadiusbymember" -5 WRITE | GROW, At::Custom(radius_keys), data(georadiusbymember), "3.2.0",
        "O(m log m + log n)", "Finds places around a member";
    "georadiusbymember_ro" -5 READ, ONE, data(georadiusbymember_ro), "3.2.10", "O(m log m + log n)",
        "Finds places around a member";
    "geosearch" -7 READ, ONE, data(geosearch), "6.2.0", "O(m log m + log n)",
        "Finds places in a circle or box";
    "geosearchstore" -8 WRITE | GROW, TWO, data(geosearchstore), "6.2.0", "O(m log m + log n)",
        "Stores places found in a circle or box";
};

/// The key, and the last target that STORE or STOREDIST names.
fn radius_keys(args: &Args<'_>) -> Vec<usize> {
    let first = if args::is(args[0], "georadius") { 6 } else { 5 };
    let stores = |at: &usize| args::is(args[*at], "STORE") || args::is(args[*at], "STOREDIST");
    let (mut found, mut at) = (vec![1], first);
    while at + 1 < args.len() {
        if stores(&at) {
            found.truncate(1);
            found.push(at + 1);
            at += 1;
        }
        at += 1;
    }
    found
}

fn point(longitude: &[u8], latitude: &[u8]) -> Result<Point> {
    Ok(Point {
        longitude: args::float(longitude)?,
        latitude: args::float(latitude)?,
    })
}

/// A point that is on the map.
fn valid_point(longitude: &[u8], latitude: &[u8]) -> Result<Point> {
    let point = point(longitude, latitude)?;
    geo::score(point).map(|_| point)
}

/// Meters in a unit.
fn unit(text: &[u8]) -> Result<f64> {
    match text.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(Error::refused(
            "ERR unsupported unit provided. please use M, KM, FT, MI",
        )),
    }
}

fn length(text: &[u8], refusal: &'static str) -> Result<f64> {
    number::parse_f64(text).ok_or_else(|| Error::refused(refusal))
}

/// A distance with exactly four decimals.
fn distance(value: f64) -> Reply {
    let scaled = (value * 10_000.0).round_ties_even();
    // Within this range the scaled value is exact, and what is shown is what Redis rounds to.
    if scaled.abs() >= 9.0e15 {
        return Reply::bulk(format!("{value:.4}"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
    let scaled = scaled as i64;
    Reply::bulk(format!("{}.{:04}", scaled / 10_000, scaled % 10_000))
}

fn coordinates(point: Point) -> Reply {
    Reply::Array(vec![
        Reply::Double(point.longitude),
        Reply::Double(point.latitude),
    ])
}

fn geoadd(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut when = AddIf::default();
    let (mut at, mut changed) = (2, false);
    while let Some(option) = args.get(at) {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" => when.absent = true,
            b"XX" => when.present = true,
            b"CH" => changed = true,
            _ => break,
        }
        at += 1;
    }
    let items = &args[at..];
    if items.is_empty() || !items.len().is_multiple_of(3) || (when.absent && when.present) {
        return Err(Error::syntax());
    }
    let item = |item: &[&'_ [u8]]| geo::score(point(item[0], item[1])?);
    let scores: Vec<f64> = items.chunks_exact(3).map(item).collect::<Result<_>>()?;
    let members = items.chunks_exact(3).map(|item| item[2]);
    let items: Vec<(f64, &[u8])> = scores.into_iter().zip(members).collect();
    let done = zset::add(work, args[1], when, &items)?;
    let count = done.added + if changed { done.changed } else { 0 };
    Ok(Reply::count(count))
}

fn geodist(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let meters = match args {
        [_, _, _, _] => 1.0,
        [_, _, _, _, text] => unit(text)?,
        _ => return Err(Error::syntax()),
    };
    let found = geo::distance(work, args[1], args[2], args[3])?;
    Ok(found.map_or(Reply::Null, |found| distance(found / meters)))
}

fn geohash(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    each(work, args, |point| {
        point.map_or(Reply::Null, |point| Reply::bulk(point.text()))
    })
}

fn geopos(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    each(work, args, |point| {
        point.map_or(Reply::NullArray, coordinates)
    })
}

fn each(
    work: &mut Work<'_>,
    args: &Args<'_>,
    reply: impl Fn(Option<Point>) -> Reply,
) -> Result<Reply> {
    let zset = work.zset(args[1])?;
    let place = |member: &&[u8]| {
        let score = zset.and_then(|zset| zset.score(member));
        reply(score.map(Point::of_score))
    };
    Ok(Reply::Array(args[2..].iter().map(place).collect()))
}

/// Which command a search is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Around a point; whether it may store.
    Radius(bool),
    /// Around a member; whether it may store.
    ByMember(bool),
    Search,
    Store,
}

/// The options of a search.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word of the command"
)]
struct Wanted<'a> {
    middle: Option<Point>,
    /// Whether a middle was given, though its member may be missing with the key.
    has_middle: bool,
    area: Option<Area>,
    /// Meters in the unit of the area.
    meters: f64,
    order: Option<Order>,
    count: usize,
    any: bool,
    with_distance: bool,
    with_score: bool,
    with_place: bool,
    target: Option<&'a [u8]>,
    by_distance: bool,
}

impl<'a> Wanted<'a> {
    /// The middle is where a member is; without the key that shows only later.
    fn around(&mut self, work: &mut Work<'_>, key: &[u8], member: &[u8]) -> Result<()> {
        self.has_middle = true;
        if work.zset(key)?.is_some() {
            let refused = || Error::refused("ERR could not decode requested zset member");
            self.middle = Some(geo::position(work, key, member)?.ok_or_else(refused)?);
        }
        Ok(())
    }

    fn at(&mut self, longitude: &[u8], latitude: &[u8]) -> Result<()> {
        self.has_middle = true;
        self.middle = Some(valid_point(longitude, latitude)?);
        Ok(())
    }

    fn circle(&mut self, radius: &[u8], in_unit: &[u8]) -> Result<()> {
        let radius = length(radius, "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err(Error::refused("ERR radius cannot be negative"));
        }
        self.meters = unit(in_unit)?;
        let radius = radius * self.meters;
        self.area = Some(Area::Circle { radius });
        Ok(())
    }

    fn rectangle(&mut self, width: &[u8], height: &[u8], in_unit: &[u8]) -> Result<()> {
        let width = length(width, "ERR need numeric width")?;
        let height = length(height, "ERR need numeric height")?;
        if width < 0.0 || height < 0.0 {
            return Err(Error::refused("ERR height or width cannot be negative"));
        }
        self.meters = unit(in_unit)?;
        let (width, height) = (width * self.meters, height * self.meters);
        self.area = Some(Area::Box { width, height });
        Ok(())
    }

    fn parse(
        &mut self,
        work: &mut Work<'_>,
        key: &[u8],
        form: Form,
        rest: &'a Args<'a>,
    ) -> Result<()> {
        let stores = matches!(form, Form::Radius(true) | Form::ByMember(true));
        let searches = matches!(form, Form::Search | Form::Store);
        let mut options = Options::new(rest);
        while let Some(option) = options.next() {
            match &option[..] {
                "WITHDIST" => self.with_distance = true,
                "WITHHASH" => self.with_score = true,
                "WITHCOORD" => self.with_place = true,
                "ANY" => self.any = true,
                "ASC" => self.order = Some(Order::Nearest),
                "DESC" => self.order = Some(Order::Farthest),
                "COUNT" => {
                    let count = args::int(options.value()?)?;
                    if count <= 0 {
                        return Err(Error::refused("ERR COUNT must be > 0"));
                    }
                    self.count = usize::try_from(count).unwrap_or(usize::MAX);
                }
                "STORE" | "STOREDIST" if stores => {
                    self.target = Some(options.value()?);
                    self.by_distance = option == "STOREDIST";
                }
                "STOREDIST" if form == Form::Store => self.by_distance = true,
                "FROMMEMBER" if searches && !self.has_middle => {
                    self.around(work, key, options.value()?)?;
                }
                "FROMLONLAT" if searches && !self.has_middle => {
                    let (longitude, latitude) = (options.value()?, options.value()?);
                    self.at(longitude, latitude)?;
                }
                "BYRADIUS" if searches && self.area.is_none() => {
                    let (radius, unit) = (options.value()?, options.value()?);
                    self.circle(radius, unit)?;
                }
                "BYBOX" if searches && self.area.is_none() => {
                    let (width, height) = (options.value()?, options.value()?);
                    self.rectangle(width, height, options.value()?)?;
                }
                _ => return Err(Error::syntax()),
            }
        }
        Ok(())
    }

    /// What does not go together.
    fn check(&self, form: Form, name: &[u8]) -> Result<()> {
        if self.target.is_some() && (self.with_distance || self.with_score || self.with_place) {
            let what = if form == Form::Store {
                "GEOSEARCHSTORE"
            } else {
                "STORE option in GEORADIUS"
            };
            return Err(Error::refused_with(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let name = String::from_utf8_lossy(name);
        if !self.has_middle {
            return Err(Error::refused_with(format!(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}"
            )));
        }
        if self.area.is_none() {
            return Err(Error::refused_with(format!(
                "ERR exactly one of BYRADIUS and BYBOX can be specified for {name}"
            )));
        }
        if self.any && self.count == 0 {
            return Err(Error::refused(
                "ERR the ANY argument requires COUNT argument",
            ));
        }
        Ok(())
    }

    fn reply(&self, found: Match) -> Reply {
        let member = Reply::bulk(found.member);
        if !(self.with_distance || self.with_score || self.with_place) {
            return member;
        }
        let mut items = vec![member];
        if self.with_distance {
            items.push(distance(found.distance / self.meters));
        }
        if self.with_score {
            let bits = score_bits(found.score);
            items.push(Reply::Int(i64::try_from(bits).unwrap_or(i64::MAX)));
        }
        if self.with_place {
            items.push(coordinates(found.place));
        }
        Reply::Array(items)
    }
}

fn run(work: &mut Work<'_>, args: &Args<'_>, form: Form) -> Result<Reply> {
    let key = if form == Form::Store {
        args[2]
    } else {
        args[1]
    };
    work.expect_kind(key, Kind::Zset)?;
    let mut wanted = Wanted {
        meters: 1.0,
        ..Wanted::default()
    };
    let rest = match form {
        Form::Radius(_) => {
            wanted.at(args[2], args[3])?;
            wanted.circle(args[4], args[5])?;
            &args[6..]
        }
        Form::ByMember(_) => {
            wanted.around(work, key, args[2])?;
            // Redis leaves the radius unread where there is no key to search.
            if wanted.middle.is_some() {
                wanted.circle(args[3], args[4])?;
            } else {
                wanted.area = Some(Area::Circle { radius: 0.0 });
            }
            &args[5..]
        }
        Form::Search => &args[2..],
        Form::Store => {
            wanted.target = Some(args[1]);
            &args[3..]
        }
    };
    wanted.parse(work, key, form, rest)?;
    wanted.check(form, args[0])?;
    let found = match (wanted.middle, wanted.area) {
        (Some(middle), Some(area)) => {
            let search = Search {
                middle,
                area,
                order: wanted.order,
                count: wanted.count,
                any: wanted.any,
            };
            geo::search(work, key, &search)?
        }
        // The member's key is missing.
        _ => Vec::new(),
    };
    let Some(target) = wanted.target else {
        let replies = found.into_iter().map(|found| wanted.reply(found));
        return Ok(Reply::Array(replies.collect()));
    };
    let event = if form == Form::Store {
        "geosearchstore"
    } else {
        "georadiusstore"
    };
    let stored = geo::store(work, target, event, found, |found| {
        if wanted.by_distance {
            found.distance / wanted.meters
        } else {
            found.score
        }
    })?;
    Ok(Reply::count(stored))
}

fn georadius(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    run(work, args, Form::Radius(true))
}

fn georadius_ro(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    run(work, args, Form::Radius(false))
}

fn georadiusbymember(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    run(work, args, Form::ByMember(true))
}

fn georadiusbymember_ro(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    run(work, args, Form::ByMember(false))
}

fn geosearch(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    run(work, args, Form::Search)
}

fn geosearchstore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    run(work, args, Form::Store)
}
