//! Many processors, simulated by jobs that sleep: how much of the pool is in use while there is work.

use process_tests::tokens::{Build, Load};

use crate::site;

pub(crate) fn run() {
    println!(
        "simulated: two builds of 100 ms jobs, a third that comes and goes; use of the pool while there is work for all"
    );
    for processors in [16u32, 64, 128] {
        for (style, options) in [("pipe", &[][..]), ("fifo", &["--fifo"])] {
            let site = site(processors);
            let load = Load {
                workers: processors + 1,
                length_ms: 100,
                count: processors * 40,
            };
            let long = ["a", "b"].map(|name| site.build(name, options, load));
            site.until_started("a", processors as usize * 5);
            let short = Load {
                count: processors * 4,
                ..load
            };
            assert!(site.build("c", options, short).wait().success());
            assert!(
                long.map(Build::wait)
                    .iter()
                    .all(std::process::ExitStatus::success)
            );
            let log = site.log();
            let (from, to) = (log.first_ns("a"), log.last_start_ns());
            let (from, to) = (from.expect("a job"), to.expect("a job"));
            let used = log.mean_of_all(from, to) / f64::from(processors);
            println!(
                "  {processors:>3} processors, {style}: {:.1} % used, at most {} at once",
                used * 100.0,
                log.most_at_once()
            );
        }
    }
}
