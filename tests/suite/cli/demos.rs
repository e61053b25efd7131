//! The demo as a process: it ends well, is quiet where nobody watches, and leaves its files where it says.

use super::terminal::Terminal;

#[test]
fn the_demo_leaves_its_files_in_the_folder_that_it_names() {
    let terminal = Terminal::empty().set("NO_COLOR", "");
    let ended = terminal.run("demo --dir journey --quiet");
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(!ended.out.contains('\u{1b}') && !ended.err.contains('\u{1b}'), "no colour where there is no terminal");
    assert!(ended.out.contains(" Its files are in journey:\n"), "{ended}");
    for name in ["opora.yaml", "audit.html", "plan.opora", ".opora/state", ".opora/sandbox"] {
        assert!(ended.out.contains(&format!("  {name} ")), "{name}");
        assert!(terminal.path("journey").join(name).exists(), "{name}");
    }
    assert!(ended.out.contains("last written by arn:aws:iam::123456789012:user/sandbox at "), "{ended}");
    assert!(ended.out.contains("Left in the state of research: 0 resources."), "{ended}");
    let left: Vec<_> = std::fs::read_dir(terminal.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["journey"], "it writes nowhere else");

    // An earlier demo's folder is written over; another one is not.
    terminal.write("notes.txt", "mine");
    let refused = terminal.run("demo --dir .");
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.starts_with("error[CLI005]"), "{refused}");
}
