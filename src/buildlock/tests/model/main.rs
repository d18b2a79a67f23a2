//! The model.
mod agreement;
mod cast;
mod faults;
mod faulty;
mod files;
mod invariants;
mod look;
mod numbers;
mod rule;
mod search;
mod state;
mod steps;
mod suites;

#[test]
fn explore() {
    for suite in [suites::SHORT.to_vec(), if std::env::var("LONG").is_ok() { suites::LONG.to_vec() } else { vec![] }].concat() {
        let start = std::time::Instant::now();
        let (mut states, mut casts) = (0, 0);
        for search in suite.searches() {
            let found = search.run();
            states += found.states;
            casts += 1;
            for (name, how) in &found.broken {
                println!("   {name}: {how}");
            }
        }
        println!("{:50} {casts} casts {states} states in {:?}", suite.name, start.elapsed());
    }
}
