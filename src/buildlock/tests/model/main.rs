//! The model.
mod cast;
mod faults;
mod files;
mod invariants;
mod look;
mod numbers;
mod rule;
mod search;
mod state;
mod steps;

use cast::Cast;
use search::Search;
use steps::Grain;

#[test]
fn explore() {
    let grain = match std::env::var("GRAIN").as_deref() {
        Ok("call") => Grain::Call,
        Ok("write") => Grain::Write,
        _ => Grain::Transition,
    };
    let n = |k: &str| std::env::var(k).map_or(1, |v| v.parse::<u8>().unwrap());
    let casts = std::env::var("CASTS").unwrap();
    let each = std::env::var("EACH").is_ok();
    let all: Vec<_> = casts.split(';').map(Cast::parse).collect();
    let groups: Vec<Vec<Cast>> = if each {
        all.into_iter().map(|c| vec![c]).collect()
    } else {
        vec![all]
    };
    for casts in groups {
        let name = casts[0].notation.clone();
        let start = std::time::Instant::now();
        let found = Search {
            casts,
            grain,
            kills: n("KILLS"),
            give_ups: n("GIVE_UPS"),
            fault: None,
        }
        .run();
        println!(
            "{name:30} {grain:?}: {} states in {:?}",
            found.states,
            start.elapsed()
        );
        for (name, how) in &found.broken {
            println!("   {name}: {how}");
        }
    }
}
