//! Each rule finds what breaks it, and lets pass what only looks so.

use super::*;

fn findings(file: &str, content: &str, rules: Rules) -> Vec<String> {
    let mut found = Vec::new();
    let source = Source {
        file: Path::new(file),
        content,
    };
    text::look(&source, rules, &mut found);
    if source.has_extension("rs") {
        rust::look(&source, rules, &mut found);
    }
    found
        .iter()
        .map(|finding| format!("{} {}", finding.line, finding.rule))
        .collect()
}

#[track_caller]
fn own(file: &str, content: &str, expected: &[&str]) {
    assert_eq!(findings(file, content, Rules::Own), expected, "{content:?}");
}

#[test]
fn a_clean_file_has_no_findings() {
    own("a.rs", "//! A file.\n\nfn f() {}\n", &[]);
    own("a.md", "# A\n\nText.\n", &[]);
    own("empty.md", "", &[]);
}

#[test]
fn only_files_named_after_a_system_call_one() {
    let call = "//! A file.\n\nuse rustix::fs::flock;\nfn f() { not_libc::f(\"fs4::\") }\n";
    own("src/a/src/b.rs", call, &["3 system-call"]);
    for file in [
        "src/a/src/sys/b.rs",
        "src/a/src/b/unix.rs",
        "src/a/tests/b.rs",
        "tests/src/b.rs",
    ] {
        own(file, call, &[]);
    }
}

#[test]
fn ends_of_lines_and_of_files() {
    own(
        "a.md",
        "a\r\nb \nc\t\nd",
        &[
            "1 line-end",
            "2 trailing-blank",
            "3 trailing-blank",
            "4 last-line",
        ],
    );
    own("a.md", "a\n\n", &["2 last-line"]);
    own("corpus/01", "a ", &[]);
    own("x", "#!/bin/sh \n", &["1 trailing-blank"]);
}

#[test]
fn long_lines_are_found_but_where_they_cannot_be_broken() {
    let long = |length: usize| "x".repeat(length);
    own(
        "a.rs",
        &format!("//! A.\n{}\n// {}\n", long(130), long(128)),
        &["3 long-line"],
    );
    own("a.md", &format!("a\n{}\n", long(131)), &["2 long-line"]);
    own("a.md", &format!("{}\nb\n", long(131)), &["1 long-line"]);
    own("a.md", &format!("a\n\n{}\n\nb\n", long(131)), &[]);
    let unbreakable = format!(
        "| {} |\n```\n{}\n```\nsee https://x/{}\n",
        long(140),
        long(140),
        long(140)
    );
    own("a.md", &unbreakable, &[]);
    own("a.json", &format!("{}\n", long(300)), &[]);
    // Characters count, not bytes.
    own("a.md", &format!("{}\n", "ö".repeat(130)), &[]);
}

#[test]
fn unfinished_work_is_found_in_code_only() {
    let macros = ["todo!()", "dbg!(x)", "unimplemented!()"];
    for name in macros {
        own(
            "a.rs",
            &format!("//! A.\nfn f() {{ {name} }}\n"),
            &["2 unfinished"],
        );
        own(
            "a.rs",
            &format!("//! A, without {name}.\nconst A: &str = \"{name}\"; // {name}\nmy_{name};\n"),
            &[],
        );
    }
}

#[test]
fn lints_are_not_allowed_without_a_reason() {
    for (attribute, expected) in [
        ("#[allow(dead_code)]", &["2 allow"][..]),
        ("#![allow(\n    dead_code,\n    unused\n)]", &["2 allow"]),
        (
            "#[allow(dead_code, reason = \"used by one of two programs\")]",
            &[],
        ),
        ("#[expect(dead_code, reason = \"x\")]", &[]),
        ("// #[allow(dead_code)]", &[]),
    ] {
        own("a.rs", &format!("//! A.\n{attribute}\nfn f() {{}}\n"), expected);
    }
}

#[test]
fn a_file_says_what_it_is_for_and_has_one_job() {
    own("a.rs", "fn f() {}\n", &["1 module-docs"]);
    let long = format!("//! A.\n{}", "fn f() {}\n".repeat(600));
    own("a.rs", &long, &["0 long-file"]);
    let tested = format!(
        "//! A.\n\n#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn f() {}\n".repeat(600)
    );
    own("a.rs", &tested, &[]);
}

#[test]
fn paths_of_one_machine_are_found_and_examples_are_not() {
    for home in ["/home", "/Users"] {
        own("a.md", &format!("in {home}/alice/src\n"), &["1 machine-path"]);
        own(
            "a.md",
            &format!("in {home}/me/src, {{root}}{home}/alice, {home}/$USER\n"),
            &[],
        );
    }
}

#[test]
fn any_workspace_may_have_its_own_style_but_no_half_merge() {
    let theirs = "fn f() { dbg!(1) }   \n\r\n";
    assert_eq!(findings("a.txt", theirs, Rules::Generic), [""; 0]);
    assert_eq!(findings("a.rs", theirs, Rules::Generic), ["0 line-end"]);
    let merge = format!("{} HEAD\na\n=======\nb\n{} other\n", "<".repeat(7), ">".repeat(7));
    assert_eq!(findings("a.py", &merge, Rules::Generic), ["5 merge"]);
    assert_eq!(
        findings("a.md", "Heading\n=======\n>>>>>>> quoted\n", Rules::Generic),
        [""; 0]
    );
}

#[test]
fn a_folder_without_git_is_walked_past_what_is_hidden_or_built() {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "src/a.rs",
        ".hidden/b.rs",
        "target/c.rs",
        "build/d.rs",
        "image.rs",
    ] {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "a\r\nb\n").unwrap();
    }
    fs::write(folder.path().join("image.rs"), b"\0\r\n").unwrap();
    let report = look(folder.path(), &folder.path().join("build"), Rules::Generic).unwrap();
    assert_eq!(report.files, 1);
    let shown = report
        .findings
        .iter()
        .map(|finding| finding.to_string().replace('\\', "/"));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        ["src/a.rs: 1 of 2 lines end with a carriage return, the others do not [line-end]"]
    );
}
