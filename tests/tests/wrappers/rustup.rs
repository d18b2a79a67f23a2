//! The installed rustup, for real: what goes wrong when several run at once, and does not with shims.

use process_tests::rustup::{Alone, Home, SCENARIOS, Stands, installed};

/// How often each scenario is played here; the example `rustup-table` plays them twenty times.
const ROUNDS: usize = 2;

/// Says so where there is nothing to test with.
fn rustup_is_installed() -> bool {
    let found = installed().is_some();
    if !found {
        println!("skipped: no rustup is installed");
    }
    found
}

#[test]
fn with_shims_every_scenario_ends_well() {
    if !rustup_is_installed() {
        return;
    }
    for scenario in SCENARIOS {
        for _ in 0..ROUNDS {
            if let Err(why) = (scenario.play)(&Home::new(Stands::Shims)) {
                panic!("{}: {why}", scenario.name);
            }
        }
    }
}

#[test]
fn without_shims_a_writer_changes_what_a_reader_reads() {
    if !rustup_is_installed() {
        return;
    }
    for scenario in SCENARIOS {
        let outcome = match scenario.alone {
            Alone::MayFail => continue,
            Alone::AlwaysFails | Alone::Holds => (scenario.play)(&Home::new(Stands::Nothing)),
        };
        assert_eq!(
            outcome.is_ok(),
            scenario.alone == Alone::Holds,
            "{}: {outcome:?}",
            scenario.name
        );
    }
}

/// Lets two adds meet between what they read and what they write.
fn two_adds_that_meet(stands: Stands) -> Result<(), String> {
    let home = Home::with_server(stands);
    home.server().hold("/dist/2026-01-01/");
    let add = |component| home.start("rustup", &["component", "add", component]);
    let (one, other) = (add("alpha"), add("beta"));
    match stands {
        Stands::Nothing => home.server().until_it_holds(2)?,
        // The second does not even ask.
        Stands::Shims => home.until_one_waits(buildlock::Mode::Exclusive)?,
    }
    home.server().let_go();
    one.end()?;
    other.end()?;
    home.consists_of("stable", &["alpha", "beta"])
}

#[test]
fn two_adds_that_meet_lose_one_without_shims_and_none_with_them() {
    if !rustup_is_installed() {
        return;
    }
    let lost = two_adds_that_meet(Stands::Nothing).expect_err("rustup alone keeps both");
    assert!(lost.starts_with("lost: "), "{lost}");
    two_adds_that_meet(Stands::Shims).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn shims_survive_an_update_of_rustup_itself() {
    if !rustup_is_installed() {
        return;
    }
    let home = Home::new(Stands::Shims);
    home.dist()
        .release_rustup(&home.bin().join(".buildlock/real/rustup"), "99.0.0");
    let said = home.expect("rustup", &["self", "update"]);
    assert!(said.contains("their shims stand again"), "{said}");
    assert_eq!(
        home.shims(&["status"]).0,
        Some(0),
        "{}",
        home.shims(&["status"]).1
    );
    home.expect("rustc", &["-V"]);
    home.expect("rustup", &["component", "add", "alpha"]);
    home.consists_of("stable", &["alpha"]).unwrap();
}

#[test]
fn an_update_that_passes_the_shims_by_is_told_and_mended() {
    if !rustup_is_installed() {
        return;
    }
    let home = Home::new(Stands::Shims);
    let real = home.bin().join(".buildlock/real/rustup");
    home.dist().release_rustup(&real, "99.0.0");
    home.expect(real.to_str().unwrap(), &["self", "update"]);
    let (code, said) = home.shims(&["status"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("rustup: REAL"), "{said}");
    home.install_shims();
    assert_eq!(home.shims(&["status"]).0, Some(0));
    home.expect("rustc", &["-V"]);
}

#[test]
fn a_proxy_that_installs_first_prints_what_it_prints_without_shims() {
    if !rustup_is_installed() {
        return;
    }
    let printed = [Stands::Nothing, Stands::Shims].map(|stands| {
        let output = Home::new(stands).command("rustc", &["+1.2.0", "-V"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    });
    assert_eq!(printed, ["rustc 1.2.0 (fixture)\n"; 2]);
}

#[test]
fn removing_the_shims_leaves_rustup_as_it_was() {
    if !rustup_is_installed() {
        return;
    }
    let home = Home::new(Stands::Nothing);
    let before = home.listing();
    home.install_shims();
    assert_ne!(home.listing(), before);
    assert_eq!(home.shims(&["remove"]).0, Some(0));
    assert_eq!(home.listing(), before);
}
