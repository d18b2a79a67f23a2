//! What goes wrong, or does not, when several rustups and their proxies run at once (rustup issue 988).
//!
//! Each scenario is told what must be true at its end, whether or not shims stand. Without them it is a race, and so may go
//! well now and then.

use buildlock::Mode;

use super::home::{Home, Stands};
use crate::script::{Gate, Running, until};

/// A scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What happens in it.
    pub name: &'static str,
    /// Plays it in a new home.
    pub play: fn(&Home) -> Outcome,
    /// Whether it goes wrong without shims.
    pub alone: Alone,
}

/// What a scenario comes to without shims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// It goes wrong in every round, by the order of events.
    AlwaysFails,
    /// It goes wrong if two processes happen to meet.
    MayFail,
    /// It goes well: it is here to show that shims do not spoil it.
    Holds,
}

type Outcome = Result<(), String>;

/// All of them.
pub const SCENARIOS: [Scenario; 11] = [
    Scenario {
        name: "two adds of one component",
        play: two_adds_of_one_component,
        alone: Alone::MayFail,
    },
    Scenario {
        name: "two adds of different components",
        play: two_adds_of_different_components,
        alone: Alone::MayFail,
    },
    Scenario {
        name: "two auto-installing proxies",
        play: two_auto_installing_proxies,
        alone: Alone::MayFail,
    },
    Scenario {
        name: "a reader loop during an update",
        play: a_reader_loop_during_an_update,
        alone: Alone::MayFail,
    },
    Scenario {
        name: "an install beside an update",
        play: an_install_beside_an_update,
        alone: Alone::MayFail,
    },
    Scenario {
        name: "a nested add",
        play: a_nested_add,
        alone: Alone::Holds,
    },
    Scenario {
        name: "two nested trees",
        play: two_nested_trees,
        alone: Alone::MayFail,
    },
    Scenario {
        name: "long reader, writer, new reader",
        play: long_reader_writer_new_reader,
        alone: Alone::AlwaysFails,
    },
    Scenario {
        name: "a grandchild that outlives its session",
        play: a_grandchild_that_outlives_its_session,
        alone: Alone::AlwaysFails,
    },
    Scenario {
        name: "a daemon left behind",
        play: a_daemon_left_behind,
        alone: Alone::Holds,
    },
    Scenario {
        name: "a toolchain file that names a missing component",
        play: a_toolchain_file_that_names_a_missing_component,
        alone: Alone::MayFail,
    },
];

fn both(one: Running, other: Running) -> Outcome {
    // Both are waited for, whatever became of the first.
    let (one, other) = (one.end(), other.end());
    one.and(other).map(drop)
}

fn two_adds_of_one_component(home: &Home) -> Outcome {
    let add = || home.start("rustup", &["component", "add", "alpha"]);
    both(add(), add())?;
    home.consists_of("stable", &["alpha"])
}

fn two_adds_of_different_components(home: &Home) -> Outcome {
    let add = |component| home.start("rustup", &["component", "add", component]);
    both(add("alpha"), add("beta"))?;
    home.consists_of("stable", &["alpha", "beta"])
}

fn two_auto_installing_proxies(home: &Home) -> Outcome {
    let proxy = || home.start("rustc", &["+1.2.0", "-V"]);
    both(proxy(), proxy())?;
    home.consists_of("1.2.0", &[])
}

fn a_reader_loop_during_an_update(home: &Home) -> Outcome {
    home.dist().release("stable", "1.1.0", "2026-01-02");
    let mut update = home.start("rustup", &["update"]);
    while !update.has_ended() {
        home.run("rustc", &["-V"])?;
    }
    update.end()?;
    let version = home.run("rustc", &["-V"])?;
    if version.contains("1.1.0") {
        home.consists_of("stable", &[])
    } else {
        Err(format!("after the update rustc says {version}"))
    }
}

fn an_install_beside_an_update(home: &Home) -> Outcome {
    home.dist().release("stable", "1.1.0", "2026-01-02");
    both(
        home.start("rustup", &["toolchain", "install", "1.2.0"]),
        home.start("rustup", &["update", "stable"]),
    )?;
    home.consists_of("stable", &[])?;
    home.consists_of("1.2.0", &[])
}

fn a_nested_add(home: &Home) -> Outcome {
    home.run("cargo", &["do", "rustup", "component", "add", "alpha"])?;
    home.consists_of("stable", &["alpha"])
}

fn two_nested_trees(home: &Home) -> Outcome {
    let gate = Gate::new(home.path(), "trees");
    let tree = |component: &str| {
        let script = format!("{}; rustup component add {component}", gate.stop());
        home.start("cargo", &["do", "sh", "-c", &script])
    };
    let (one, other) = (tree("alpha"), tree("beta"));
    // Both read before either asks for more.
    gate.arrived()?;
    gate.arrived()?;
    gate.open();
    gate.open();
    both(one, other)?;
    home.consists_of("stable", &["alpha", "beta"])
}

/// A reader that looks at its toolchain, stops at the gate, and looks again.
fn long_reader(home: &Home, gate: &Gate) -> Running {
    let version = home.toolchain("stable").join("lib/version");
    let script = format!(
        "a=$(cat '{0}'); {1}; b=$(cat '{0}'); echo \"$a, then $b\"; [ \"$a\" = \"$b\" ]",
        version.display(),
        gate.stop()
    );
    home.start("cargo", &["do", "sh", "-c", &script])
}

fn long_reader_writer_new_reader(home: &Home) -> Outcome {
    let gate = Gate::new(home.path(), "reader");
    let reader = long_reader(home, &gate);
    gate.arrived()?;
    home.dist().release("stable", "1.1.0", "2026-01-02");
    let mut writer = home.start("rustup", &["update", "stable"]);
    let (mut new_reader, mut early) = (None, false);
    match home.stands() {
        Stands::Shims => {
            home.until_one_waits(Mode::Exclusive)?;
            let new = new_reader.insert(home.start("rustc", &["-V"]));
            home.until_one_waits(Mode::Shared)?;
            early = new.has_ended() || writer.has_ended();
        }
        // Nothing makes it wait.
        Stands::Nothing => until("the update", || writer.has_ended())?,
    }
    gate.open();
    reader.end()?;
    writer.end()?;
    let version = match new_reader {
        Some(reader) => reader.end()?,
        None => home.run("rustc", &["-V"])?,
    };
    if early || !version.contains("1.1.0") {
        return Err(format!("the new reader overtook the writer: {version}"));
    }
    home.consists_of("stable", &[])
}

fn a_grandchild_that_outlives_its_session(home: &Home) -> Outcome {
    let (orphan, gate) = (Gate::new(home.path(), "orphan"), Gate::new(home.path(), "reader"));
    // Its environment still names the session that it was started under.
    let grandchild = format!("({}; rustup update stable; {}) &", orphan.stop(), orphan.stop());
    home.run("cargo", &["do", "sh", "-c", &grandchild])?;
    orphan.arrived()?;
    let reader = long_reader(home, &gate);
    gate.arrived()?;
    home.dist().release("stable", "1.1.0", "2026-01-02");
    orphan.open();
    let updated = || orphan.arrived();
    match home.stands() {
        // A stranger by now, it waits as one.
        Stands::Shims => home.until_one_waits(Mode::Exclusive)?,
        Stands::Nothing => updated()?,
    }
    gate.open();
    let read = reader.end();
    if home.stands() == Stands::Shims {
        updated()?;
    }
    orphan.open();
    read?;
    home.consists_of("stable", &[])
}

fn a_daemon_left_behind(home: &Home) -> Outcome {
    let gate = Gate::new(home.path(), "daemon");
    let daemon = format!("({}) >/dev/null 2>&1 </dev/null &", gate.stop());
    home.run("cargo", &["do", "sh", "-c", &daemon])?;
    gate.arrived()?;
    let added = home.run("rustup", &["component", "add", "alpha"]);
    gate.open();
    added?;
    home.consists_of("stable", &["alpha"])
}

fn a_toolchain_file_that_names_a_missing_component(home: &Home) -> Outcome {
    let file = home.path().join("work/rust-toolchain.toml");
    let text = "[toolchain]\nchannel = \"stable\"\ncomponents = [\"alpha\"]\n";
    std::fs::write(file, text).map_err(|e| e.to_string())?;
    let proxy = || home.start("rustc", &["-V"]);
    both(proxy(), proxy())?;
    home.consists_of("stable", &["alpha"])
}
