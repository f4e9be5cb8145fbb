//! The view of a sorted set as places on Earth.

use super::Target;
use crate::error::{Error, Result};
use crate::ops::geo::{self, Order, Search};
use crate::ops::zset::{self, AddIf};
use crate::value::geohash::Area;
pub use crate::value::geohash::Point as GeoPoint;
use crate::value::owned::Value;

/// Places by name, in a sorted set whose scores are geohashes of 52 bits: about half a meter at the equator.
///
/// # Examples
///
/// ```
/// use upkv::{Db, GeoPoint, GeoSearch, Store};
/// let db = Db::mount(&Store::memory()?, "map")?;
/// let cities = db.geo("cities");
/// cities.add("Palermo", GeoPoint::new(13.361389, 38.115556))?;
/// cities.add("Catania", GeoPoint::new(15.087269, 37.502669))?;
/// let meters = cities.distance("Palermo", "Catania")?.expect("both are there");
/// assert!((meters - 166_274.15).abs() < 0.01);
/// let near = cities.search(&GeoSearch::circle(GeoPoint::new(15.0, 37.0), 100_000.0))?;
/// assert_eq!(near[0].member, "Catania");
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Geo<'t, T: Target> {
    target: &'t T,
    key: Box<[u8]>,
}

/// What [`Geo::search`] looks for: places in a circle or box, nearest first.
#[derive(Clone, Copy, Debug)]
pub struct GeoSearch {
    middle: GeoPoint,
    area: Area,
    farthest_first: bool,
    limit: usize,
}

/// A place that was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GeoMatch {
    /// Its name.
    pub member: Value,
    /// Where it is.
    pub point: GeoPoint,
    /// Meters from the middle.
    pub distance: f64,
}

impl GeoSearch {
    /// Places at most `radius` meters from a point.
    pub const fn circle(middle: GeoPoint, radius: f64) -> Self {
        Self::new(middle, Area::Circle { radius })
    }

    /// Places in a box around a point; `width` goes east and west, `height` north and south, in meters.
    pub const fn rectangle(middle: GeoPoint, width: f64, height: f64) -> Self {
        Self::new(middle, Area::Box { width, height })
    }

    const fn new(middle: GeoPoint, area: Area) -> Self {
        Self {
            middle,
            area,
            farthest_first: false,
            limit: 0,
        }
    }

    /// The farthest first.
    #[must_use]
    pub const fn farthest_first(mut self) -> Self {
        self.farthest_first = true;
        self
    }

    /// At most this many; 0, the default, for all.
    #[must_use]
    pub const fn limit(mut self, count: usize) -> Self {
        self.limit = count;
        self
    }

    fn checked(&self) -> Result<Search> {
        geo::score(self.middle)?;
        let sizes = match self.area {
            Area::Circle { radius } => [radius, 0.0],
            Area::Box { width, height } => [width, height],
        };
        if !sizes.iter().all(|size| size.is_finite() && *size >= 0.0) {
            return Err(Error::refused(
                "ERR radius, width or height is negative or not finite",
            ));
        }
        Ok(Search {
            middle: self.middle,
            area: self.area,
            order: Some(if self.farthest_first {
                Order::Farthest
            } else {
                Order::Nearest
            }),
            count: self.limit,
            any: false,
        })
    }
}

impl<'t, T: Target> Geo<'t, T> {
    pub(crate) fn new(target: &'t T, key: &[u8]) -> Self {
        Self {
            target,
            key: key.into(),
        }
    }

    /// Adds or moves a place; whether it is new.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for a point outside 180 degrees of longitude or 85.05112878 of latitude,
    /// [`Error::WrongType`], [`Error::TooLarge`], [`Error::OutOfMemory`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(log n).
    pub fn add(&self, member: impl AsRef<[u8]>, point: GeoPoint) -> Result<bool> {
        Ok(self.add_many([(member, point)])? == 1)
    }

    /// Adds or moves places in one commit; the number that are new.
    ///
    /// # Errors
    ///
    /// As [`Geo::add`].
    ///
    /// # Complexity
    ///
    /// O(log n) a place.
    pub fn add_many<M: AsRef<[u8]>>(
        &self,
        places: impl IntoIterator<Item = (M, GeoPoint)>,
    ) -> Result<usize> {
        let owned: Vec<(M, GeoPoint)> = places.into_iter().collect();
        let items = owned
            .iter()
            .map(|(member, point)| Ok((geo::score(*point)?, member.as_ref())))
            .collect::<Result<Vec<_>>>()?;
        self.target.run(&self.key, true, |work| {
            Ok(zset::add(work, &self.key, AddIf::default(), &items)?.added)
        })
    }

    /// Where a place is: the middle of its cell.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    pub fn position(&self, member: impl AsRef<[u8]>) -> Result<Option<GeoPoint>> {
        let member = member.as_ref();
        self.target.run(&self.key, false, |work| {
            geo::position(work, &self.key, member)
        })
    }

    /// The geohash of a place, eleven letters and digits.
    ///
    /// # Errors
    ///
    /// As [`Geo::position`].
    pub fn geohash(&self, member: impl AsRef<[u8]>) -> Result<Option<String>> {
        Ok(self.position(member)?.map(GeoPoint::text))
    }

    /// Meters between two places, if both are there.
    ///
    /// # Errors
    ///
    /// As [`Geo::position`].
    pub fn distance(&self, a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> Result<Option<f64>> {
        let (a, b) = (a.as_ref(), b.as_ref());
        self.target.run(&self.key, false, |work| {
            geo::distance(work, &self.key, a, b)
        })
    }

    /// The places in a circle or box, in order of their distance.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for a middle outside the map or a size that is negative or not finite;
    /// [`Error::WrongType`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(m log m + log n), where m are the places in the nine cells around the area.
    pub fn search(&self, search: &GeoSearch) -> Result<Vec<GeoMatch>> {
        let search = search.checked()?;
        let found = self.target.run(&self.key, false, |work| {
            geo::search(work, &self.key, &search)
        })?;
        let convert = |found: geo::Match| GeoMatch {
            member: found.member.into(),
            point: found.place,
            distance: found.distance,
        };
        Ok(found.into_iter().map(convert).collect())
    }
}
