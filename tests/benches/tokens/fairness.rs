//! Who runs how much: one that waits beside sixteen, weights, and how soon a newcomer has its part.

use process_tests::clock::now_ns;
use process_tests::tokens::{Load, Site};

use crate::{quantile, site};

const STYLES: [(&str, &[&str]); 2] = [("pipe", &[]), ("fifo", &["--fifo"])];
const ARRIVALS: usize = 20;

fn endless(workers: u32, length_ms: u32) -> Load {
    Load {
        workers,
        length_ms,
        count: 0,
    }
}

pub(crate) fn run() {
    println!("fairness: jobs at once on average, over 400 jobs of each build");
    for (style, options) in STYLES {
        let pool = site(8);
        let _builds = [
            pool.build("few", options, endless(5, 20)),
            pool.build("many", options, endless(17, 20)),
        ];
        report(
            &pool,
            style,
            "5 workers beside 17 in a pool of 8",
            &["few", "many"],
        );
        let pool = site(4);
        let _builds = [
            pool.build("one", options, endless(2, 20)),
            pool.build("sixteen", options, endless(17, 20)),
        ];
        report(
            &pool,
            style,
            "1 that waits beside 16, in a pool of 4",
            &["one", "sixteen"],
        );
        let pool = site(8);
        let weighing = |weight| [&["--weight", weight][..], options].concat();
        let _builds = [
            pool.build("two", &weighing("2"), endless(16, 20)),
            pool.build("one", &weighing("1"), endless(16, 20)),
            pool.build("other", &weighing("1"), endless(16, 20)),
        ];
        report(
            &pool,
            style,
            "weights 2:1:1 in a pool of 8",
            &["two", "one", "other"],
        );
        arrivals(style, options);
    }
}

fn report(pool: &Site, style: &str, what: &str, names: &[&str]) {
    for name in names {
        pool.until_started(name, 100);
    }
    let from = now_ns();
    for name in names {
        pool.until_started(name, 400);
    }
    let (to, log) = (now_ns(), pool.log());
    let means: Vec<_> = names
        .iter()
        .map(|name| format!("{:.2}", log.mean(name, from, to)))
        .collect();
    println!("  {style}, {what}: {}", means.join(" : "));
}

fn arrivals(style: &str, options: &[&str]) {
    let load = endless(16, 200);
    let pool = site(4);
    let _old = pool.build("old", options, load);
    let took: Vec<_> = (0..ARRIVALS)
        .map(|n| {
            let name = format!("new{n}");
            pool.until_started("old", 8);
            let asked = now_ns();
            let _new = pool.build(&name, options, load);
            pool.until("it runs two jobs", || pool.log().most_at_once_of(&name) >= 2);
            pool.log().ms_until(&name, 2, asked).expect("a second job")
        })
        .collect();
    println!(
        "  {style}, a newcomer's first further token, beside jobs of 200 ms: p50 {:.0} ms, max {:.0} ms",
        quantile(&took, 0.5),
        quantile(&took, 1.0)
    );
}
