//! Scarce memory: no further token is leased, whatever is free.

use buildlock::tokens::MemoryLimits;
use process_tests::tokens::Load;

use crate::site;

const HUNGRY: Load = Load {
    workers: 8,
    length_ms: 4,
    count: 0,
};

/// What no machine has, and what every machine exceeds.
const SCARCE: [&[&str]; 2] = [
    &["--min-free-memory", "18446744073709551615"],
    &["--max-stall", "-1"],
];

#[test]
fn under_pressure_each_build_gets_its_first_token_and_no_further_one() {
    for limits in SCARCE {
        let site = site(4);
        let _builds = ["a", "b"].map(|name| site.build(name, limits, HUNGRY));
        // The kernel may not keep account of stalls (`CONFIG_PSI`): then nothing can be refused for them.
        let mut asked = MemoryLimits::OFF;
        asked.available_bytes_min = limits[0].ends_with("memory").then_some(u64::MAX);
        asked.stall_percent_max = limits[0].ends_with("stall").then_some(-1.0);
        let Some(why) = site.pool().snapshot(&asked).unwrap().refused else {
            println!("this system does not tell: {limits:?}");
            continue;
        };
        for name in ["a", "b"] {
            site.until_started(name, 50);
            assert_eq!(site.log().most_at_once_of(name), 1, "{why}");
        }
        assert_eq!(site.snapshot().free, 2);
    }
}

#[test]
fn with_the_limits_off_nothing_is_refused() {
    let site = site(4);
    let _build = site.build("a", &[], HUNGRY);
    site.until("it has the whole pool", || site.log().most_at_once_of("a") == 4);
}
