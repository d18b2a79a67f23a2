//! Matching, and the shipped sets command by command.

use super::*;

fn words(line: &str, rules: &Rules) -> Words {
    Words::of(&line.split(' ').map(OsString::from).collect::<Vec<_>>(), rules)
}

fn hold(set: &str, line: &str) -> Hold {
    let rules = Rules::load(Path::new(set)).unwrap_or_else(|e| panic!("{}", e.text));
    let command = words(line, &rules);
    rules.find(&command).map_or(rules.default, |rule| rule.hold)
}

#[test]
fn all_shipped_sets_can_be_read() {
    for (name, _) in SHIPPED {
        assert!(Rules::load(Path::new(name)).is_ok(), "{name}");
    }
}

#[test]
fn rustup_writes_and_its_proxies_read() {
    for line in [
        "rustup component add rustfmt",
        "rustup +nightly component add rustfmt",
        "/home/me/.cargo/bin/rustup update",
        "rustup.exe self update",
        "rustup -v target add wasm32-wasip1",
        "rustup toolchain install 1.95",
    ] {
        assert_eq!(hold("rustup", line), Hold::Exclusive, "{line}");
    }
    for line in [
        "rustup show",
        "rustup which cargo",
        "rustup component list",
        "cargo build",
        "rustc +stable -V",
        "rustfmt",
    ] {
        assert_eq!(hold("rustup", line), Hold::Shared, "{line}");
    }
}

#[test]
fn every_command_of_an_unmodified_x_py_changes_the_build_directory() {
    for line in [
        "./x.py check",
        "python3 x.py check",
        "python3 -u ./x.py build --stage 1",
        "./x test tidy",
    ] {
        assert_eq!(hold("rust-lang-rust", line), Hold::Exclusive, "{line}");
    }
    let rules = Rules::load(Path::new("rust-lang-rust")).unwrap_or_else(|e| panic!("{}", e.text));
    for line in ["python3.11 x.py check", "/usr/bin/python -X dev -u x.py check"] {
        assert_eq!(words(line, &rules), words("x.py check", &rules), "{line}");
    }
    assert_eq!(words("python3-config x.py", &rules).program, "python3-config");
    assert_eq!(hold("rust-lang-rust", "python3 x.py --help"), Hold::None);
}

#[test]
fn cargo_takes_no_lock_of_ours() {
    assert_eq!(hold("cargo", "cargo build"), Hold::None);
    assert_eq!(hold("cargo", "cargo tree"), Hold::None);
}

#[test]
fn what_follows_two_dashes_is_not_looked_at() {
    let rules = Rules::load(Path::new("rustup")).unwrap_or_else(|e| panic!("{}", e.text));
    assert_eq!(
        words("rustup run stable -- list", &rules).arguments,
        ["run", "stable"]
    );
}

#[test]
fn mistakes_in_rules_are_refused() {
    for (text, wanted) in [
        ("about = \"x\"", "default"),
        ("about = \"x\"\ndefault = \"sometimes\"", "sometimes"),
        (
            "about = \"x\"\ndefault = \"first exclusive, then shared\"",
            "`prepare = \"NAME\"`",
        ),
        (
            "about = \"x\"\ndefault = \"none\"\n[preparation.first]\ncommand = []",
            "first",
        ),
        (
            "about = \"x\"\ndefault = \"none\"\n[[rule]]\nname = \"n\"\nprograms = []\nhold = \"none\"\nholds = 1",
            "holds",
        ),
        (
            "about = \"x\"\ndefault = \"none\"\n[[rule]]\nname = \"n\"\nprograms = []\nhold = \"shared\"\nprepare = \"a\"",
            "prepare",
        ),
    ] {
        let said = Rules::parse(text).expect_err(text);
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn the_explanation_names_the_first_rule_that_matches_and_why_others_do_not() {
    let rules = Rules::load(Path::new("rustup")).unwrap_or_else(|e| panic!("{}", e.text));
    let text = explain(&rules, &words("rustup component list", &rules));
    assert!(
        text.contains("no   \"changes toolchains\": `list` is among the arguments"),
        "{text}"
    );
    assert!(
        text.contains("yes  \"looks, and may install\": takes the lock, shared; first, exclusively, `rustup"),
        "{text}"
    );
}

#[test]
fn what_compiles_is_heavy_and_is_served_a_jobserver() {
    let share = |set: &str, line: &str| {
        let rules = Rules::load(Path::new(set)).unwrap_or_else(|e| panic!("{}", e.text));
        let rule = rules.find(&words(line, &rules)).cloned();
        rule.map(|rule| (rule.jobserver, rule.heavy))
    };
    for line in [
        "cargo build",
        "cargo +nightly t",
        "cargo clippy --fix",
        "cargo --color always build",
        "cargo +nightly -C crate -Z unstable-options --config a=b test",
    ] {
        assert_eq!(share("cargo", line), Some((Jobserver::Pipe, true)), "{line}");
    }
    for line in [
        "cargo metadata",
        "cargo fmt",
        "cargo --version",
        "cargo --config build fmt",
    ] {
        assert_eq!(share("cargo", line), None, "{line}");
    }
    let x_py = |line| share("rust-lang-rust", line);
    assert_eq!(x_py("python3 x.py check"), Some((Jobserver::Fifo, true)));
    assert_eq!(x_py("./x.py check --help"), Some((Jobserver::Off, false)));
    assert_eq!(share("rustup", "cargo build"), Some((Jobserver::Off, false)));
}
