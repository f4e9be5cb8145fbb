//! Places. Distances and coordinates are compared as numbers, of which older servers print 17 decimals.

use super::{Chapter, rule};
use crate::compare::Compare;

const PLACES: Compare = Compare::Numbers(1e-11);

pub(super) const CHAPTER: Chapter = Chapter {
    name: "geo",
    letter: 'g',
    pools: &[
        ("member", &["rome", "oslo", "lima", "suva", "nuuk", "", "x"]),
        ("lon", &["12.5", "10.75", "-77.04", "178.44", "-51.73", "0", "180", "-180", "181", "-179.9", "179.9", "x", "nan", "1e400"]),
        ("lat", &["41.9", "59.91", "-12.05", "-18.14", "64.18", "0", "85.05", "-85.05", "86", "x", "inf"]),
        ("unit", &["m", "km", "ft", "mi", "KM", "m", "km", "x"]),
        ("radius", &["0", "1", "1000", "5000", "20000", "1e9", "-1", "x", "inf", "0.5"]),
    ],
    rules: &[
        rule("GEOADD key [NX|XX] [CH] {lon lat member}").often(5),
        rule("GEODIST key member member [unit]").compare(PLACES).often(2),
        rule("GEOHASH key {member}"),
        rule("GEOPOS key {member}").compare(PLACES),
        rule(
            "GEOSEARCH key (FROMMEMBER member|FROMLONLAT lon lat) (BYRADIUS radius unit|BYBOX radius radius unit) \
             ASC|DESC [COUNT positive] [WITHCOORD] [WITHDIST] [WITHHASH]",
        )
        .compare(PLACES)
        .often(3),
        rule(
            "GEOSEARCHSTORE key key (FROMMEMBER member|FROMLONLAT lon lat) (BYRADIUS radius unit|BYBOX radius radius unit) \
             ASC|DESC [COUNT positive] [STOREDIST]",
        )
        .often(2),
        rule("GEORADIUS|GEORADIUS_RO key lon lat radius unit ASC|DESC [COUNT positive] [WITHCOORD] [WITHDIST] [WITHHASH]")
            .compare(PLACES),
        rule("GEORADIUSBYMEMBER|GEORADIUSBYMEMBER_RO key member radius unit ASC|DESC [COUNT positive] [WITHCOORD] [WITHDIST] [WITHHASH]")
            .compare(PLACES),
        rule("GEORADIUS key lon lat radius unit [ASC|DESC] STORE|STOREDIST key"),
        rule("GEORADIUSBYMEMBER key member radius unit [COUNT positive ASC] [WITHDIST] [STORE key] [STOREDIST key]")
            .compare(Compare::Unordered),
        rule("ZREM key member"),
        rule("ZSCORE key member").compare(Compare::Numbers(0.0)),
    ],
};
