//! Positions on Earth as 52-bit geohashes, which are scores of sorted sets; and distances.
//!
//! A geohash halves longitude and latitude in turn; latitude has the even bits. Every formula keeps the
//! order of operations of Redis, so that results agree to the last digit.

/// Radius of the Earth in meters, as Redis has it.
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half the width of the Mercator projection in meters.
const MERCATOR_MAX: f64 = 20_037_726.37;
pub(crate) const LONGITUDE_MAX: f64 = 180.0;
pub(crate) const LATITUDE_MAX: f64 = 85.051_128_78;
/// Halvings of each coordinate in a score.
const STEPS_MAX: u32 = 26;
const DEGREE: f64 = std::f64::consts::PI / 180.0;

fn radians(degrees: f64) -> f64 {
    degrees * DEGREE
}

fn degrees(radians: f64) -> f64 {
    radians / DEGREE
}

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// East of Greenwich; negative to the west.
    pub longitude: f64,
    /// North of the equator; negative to the south.
    pub latitude: f64,
}

impl Point {
    /// A place. Longitude comes first, as in Redis.
    pub const fn new(longitude: f64, latitude: f64) -> Self {
        Self {
            longitude,
            latitude,
        }
    }

    /// Whether a geohash can hold it.
    pub(crate) fn is_valid(self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }

    /// The score of a valid place.
    pub(crate) fn score(self) -> f64 {
        let cell = Cell::around(self, STEPS_MAX, LATITUDE_MAX);
        #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
        let score = cell.bits as f64;
        score
    }

    /// The middle of the cell that a score stands for.
    pub(crate) fn of_score(score: f64) -> Self {
        let (low, high) = Cell {
            bits: score_bits(score),
            steps: STEPS_MAX,
        }
        .bounds();
        let middle = |low: f64, high: f64, max: f64| f64::midpoint(low, high).clamp(-max, max);
        Self {
            longitude: middle(low.longitude, high.longitude, LONGITUDE_MAX),
            latitude: middle(low.latitude, high.latitude, LATITUDE_MAX),
        }
    }

    /// Meters along a great circle.
    pub(crate) fn distance(self, other: Self) -> f64 {
        let (lon1, lon2) = (radians(self.longitude), radians(other.longitude));
        let v = ((lon2 - lon1) / 2.0).sin();
        if v == 0.0 {
            return self.latitude_distance(other);
        }
        let (lat1, lat2) = (radians(self.latitude), radians(other.latitude));
        let u = ((lat2 - lat1) / 2.0).sin();
        let a = u * u + lat1.cos() * lat2.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }

    fn latitude_distance(self, other: Self) -> f64 {
        EARTH_RADIUS * (radians(other.latitude) - radians(self.latitude)).abs()
    }

    /// The standard geohash in base 32; its last digit is always 0, as Redis has it.
    pub(crate) fn text(self) -> String {
        const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let cell = Cell::around(self, STEPS_MAX, 90.0);
        let digit = |at: u32| {
            let index = if at < 10 {
                cell.bits >> (52 - (at + 1) * 5) & 31
            } else {
                0
            };
            char::from(DIGITS[usize::try_from(index).unwrap_or(0)])
        };
        (0..11).map(digit).collect()
    }
}

/// A score as an integer, which of scores that are no places is the one that Redis comes to.
pub(crate) fn score_bits(score: f64) -> u64 {
    /// 2^63, from which on a number is converted without its highest bit.
    const HIGH: f64 = 9_223_372_036_854_775_808.0;
    let signed = |score: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what does not fit is the least integer"
        )]
        let bits = score as i64;
        let fits = (-HIGH..HIGH).contains(&score);
        if fits { bits } else { i64::MIN }.cast_unsigned()
    };
    if score < HIGH {
        signed(score)
    } else {
        signed(score - HIGH) ^ 1 << 63
    }
}

/// A rectangle of the Earth: all places whose geohash begins with these bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    bits: u64,
    steps: u32,
}

impl Cell {
    fn around(point: Point, steps: u32, latitude_max: f64) -> Self {
        let part = |value: f64, max: f64| {
            let offset = (value + max) / (max - -max) * f64::from(1_u32 << steps);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 26 bits, and the cast saturates"
            )]
            let offset = offset as u32;
            offset
        };
        let latitude = part(point.latitude, latitude_max);
        let longitude = part(point.longitude, LONGITUDE_MAX);
        Self::of(latitude, longitude, steps)
    }

    fn of(latitude: u32, longitude: u32, steps: u32) -> Self {
        let bits = spread(latitude) | spread(longitude) << 1;
        Self { bits, steps }
    }

    /// Row and column.
    fn parts(self) -> (u32, u32) {
        (gather(self.bits), gather(self.bits >> 1))
    }

    /// Lowest and highest corner.
    fn bounds(self) -> (Point, Point) {
        let (row, column) = self.parts();
        #[expect(clippy::cast_precision_loss, reason = "at most 2^32")]
        let size = (1_u64 << self.steps) as f64;
        let edge = |at: f64, max: f64| -max + at / size * (max - -max);
        let corner = |row: f64, column: f64| Point {
            longitude: edge(column, LONGITUDE_MAX),
            latitude: edge(row, LATITUDE_MAX),
        };
        let (row, column) = (f64::from(row), f64::from(column));
        (corner(row, column), corner(row + 1.0, column + 1.0))
    }

    /// The cell some rows and columns away, around the Earth.
    fn moved(self, rows: i32, columns: i32) -> Self {
        let (row, column) = self.parts();
        // A place on the last meridian is one column beyond; only a move brings it back.
        let moved = |at: u32, by: i32| match by {
            0 => at,
            _ => at.wrapping_add_signed(by) & u32::MAX >> (32 - self.steps),
        };
        Self::of(moved(row, rows), moved(column, columns), self.steps)
    }

    /// The scores in the cell: from the first to before the second.
    pub(crate) fn scores(self) -> (f64, f64) {
        let shift = 52 - self.steps * 2;
        #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
        let edge = |bits: u64| (bits << shift) as f64;
        (edge(self.bits), edge(self.bits + 1))
    }
}

/// Bit n becomes bit 2n.
fn spread(value: u32) -> u64 {
    let mut spread = u64::from(value);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        spread = (spread | spread << shift) & mask;
    }
    spread
}

/// Bit 2n becomes bit n.
fn gather(bits: u64) -> u32 {
    let mut gathered = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333_u64),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        gathered = (gathered | gathered >> shift) & mask;
    }
    u32::try_from(gathered).expect("masked to 32 bits")
}

/// What lies within a distance of the middle, in meters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Area {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

impl Area {
    /// The distance of a place from the middle, if it is inside.
    pub(crate) fn distance(self, middle: Point, point: Point) -> Option<f64> {
        match self {
            Self::Circle { radius } => {
                let distance = middle.distance(point);
                (distance <= radius).then_some(distance)
            }
            Self::Box { width, height } => {
                if point.latitude_distance(middle) > height / 2.0 {
                    return None;
                }
                let across = Point {
                    longitude: middle.longitude,
                    latitude: point.latitude,
                };
                if point.distance(across) > width / 2.0 {
                    return None;
                }
                Some(middle.distance(point))
            }
        }
    }

    /// Half height, half width and the radius around all of it.
    fn extent(self) -> (f64, f64, f64) {
        match self {
            Self::Circle { radius } => (radius, radius, radius),
            Self::Box { width, height } => {
                let (width, height) = (width / 2.0, height / 2.0);
                (height, width, (width * width + height * height).sqrt())
            }
        }
    }

    /// The cells that hold every place inside, in the order in which Redis looks at them.
    pub(crate) fn cells(self, middle: Point) -> Vec<Cell> {
        let (height, width, radius) = self.extent();
        let tall = degrees(height / EARTH_RADIUS);
        let wide = |latitude: f64| degrees(width / EARTH_RADIUS / radians(latitude).cos());
        let wide = if middle.latitude < 0.0 {
            wide(middle.latitude - tall)
        } else {
            wide(middle.latitude + tall)
        };
        let (south, north) = (middle.latitude - tall, middle.latitude + tall);
        let (west, east) = (middle.longitude - wide, middle.longitude + wide);

        let mut steps = steps_for(radius, middle.latitude);
        let mut cell = Cell::around(middle, steps, LATITUDE_MAX);
        // Not the opposite of "reaches": next to a pole the bounds are not numbers.
        let falls_short = |cell: Cell| {
            cell.moved(1, 0).bounds().1.latitude < north
                || cell.moved(-1, 0).bounds().0.latitude > south
                || cell.moved(0, 1).bounds().1.longitude < east
                || cell.moved(0, -1).bounds().0.longitude > west
        };
        if steps > 1 && falls_short(cell) {
            steps -= 1;
            cell = Cell::around(middle, steps, LATITUDE_MAX);
        }
        let (low, high) = cell.bounds();
        let skips = |(rows, columns): (i32, i32)| {
            steps >= 2
                && ((rows < 0 && low.latitude < south)
                    || (rows > 0 && high.latitude > north)
                    || (columns < 0 && low.longitude < west)
                    || (columns > 0 && high.longitude > east))
        };
        let around = [
            (0, 0),
            (1, 0),
            (-1, 0),
            (0, 1),
            (0, -1),
            (1, 1),
            (1, -1),
            (-1, 1),
            (-1, -1),
        ];
        let mut cells = Vec::with_capacity(around.len());
        for step in around.into_iter().filter(|step| !skips(*step)) {
            // With few steps neighbours on both sides are one cell.
            let found = cell.moved(step.0, step.1);
            if !cells.contains(&found) {
                cells.push(found);
            }
        }
        cells
    }
}

/// Halvings after which a cell and its neighbours still cover a radius.
fn steps_for(radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEPS_MAX;
    }
    let (mut steps, mut range) = (1_i32, radius);
    while range < MERCATOR_MAX && steps < 64 {
        range *= 2.0;
        steps += 1;
    }
    // Two fewer, so that the range is included in most of the base cases.
    steps -= 2;
    // Cells are narrower towards the poles.
    steps -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    steps.clamp(1, 26).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point {
            longitude,
            latitude,
        }
    }

    #[test]
    fn scores_and_texts() {
        let palermo = point(13.361_389, 38.115_556);
        assert_eq!(score_bits(palermo.score()), 3_479_099_956_230_698);
        assert_eq!(Point::of_score(palermo.score()).text(), "sqc8b49rny0");
        let catania = point(15.087_269, 37.502_669);
        assert_eq!(Point::of_score(catania.score()).text(), "sqdtr74hyu0");
        let meters = Point::of_score(palermo.score()).distance(Point::of_score(catania.score()));
        assert_eq!(format!("{meters:.4}"), "166274.1516");
    }

    #[test]
    fn bits_spread_and_gather() {
        for value in [0, 1, 0x5555, 0xdead_beef, u32::MAX] {
            assert_eq!(gather(spread(value)), value);
            assert_eq!(spread(value) & 0xaaaa_aaaa_aaaa_aaaa, 0);
        }
    }

    #[test]
    fn cells_cover_what_is_inside() {
        let mut seed = 5_u64;
        let mut unit = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f64::from(u32::try_from(seed >> 33).expect("31 bits")) / f64::from(1_u32 << 31)
        };
        for _ in 0..4000 {
            let middle = point(unit() * 300.0 - 150.0, unit() * 120.0 - 60.0);
            let radius = 10_f64.powf(unit() * 6.0);
            let area = Area::Circle { radius };
            let near = point(
                (middle.longitude + (unit() - 0.5) * radius / 40_000.0).clamp(-180.0, 180.0),
                (middle.latitude + (unit() - 0.5) * radius / 60_000.0).clamp(-85.0, 85.0),
            );
            let cells = area.cells(middle);
            if area.distance(middle, near).is_some() {
                let score = near.score();
                let holds = |cell: &Cell| {
                    let (low, high) = cell.scores();
                    (low..high).contains(&score)
                };
                assert!(cells.iter().any(holds), "{middle:?} {radius} {near:?}");
            }
        }
    }

    #[test]
    fn odd_scores_and_areas_end() {
        for score in [f64::NEG_INFINITY, -1.0, f64::INFINITY, 1e300, 0.5] {
            let _ = Point::of_score(score).text();
        }
        for radius in [0.0, 1e-300, 1e300, f64::INFINITY] {
            assert!(
                !Area::Circle { radius }
                    .cells(point(180.0, 85.05))
                    .is_empty()
            );
        }
    }
}
