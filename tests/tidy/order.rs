//! The order of modules inside every folder of `src`: a file, with all that is below it, uses only
//! siblings that are declared above it. So no two of them need each other.

use std::collections::{BTreeMap, BTreeSet};

use super::rust::{File, code, tokens, without_tests};

/// Uses that still point the wrong way, as `user -> used`.
const UPWARD: &[&str] = &[];

/// A module's path below `crate`.
type Path = Vec<String>;

#[derive(Debug, Default)]
struct Module {
    code: String,
    /// Its children in the order of their declaration.
    children: Vec<String>,
    /// Paths that its `use` lines bring in, by the name that they have here.
    imports: BTreeMap<String, Path>,
    /// Its own functions, types and constants, each with its text.
    items: BTreeMap<String, String>,
}

fn module_of(path: &str) -> Path {
    let names = path.trim_start_matches("src/").trim_end_matches(".rs").split('/');
    names.filter(|it| !["lib", "mod"].contains(it)).map(str::to_owned).collect()
}

/// Reads a path or a tree of paths from its first segment on. Returns each path with the name that it
/// goes by.
fn tree(tokens: &[&str], at: &mut usize, prefix: &[String], found: &mut Vec<(String, Path)>) {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match *token {
            "{" => {
                while tokens.get(*at).is_some_and(|it| *it != "}") {
                    tree(tokens, at, &path, found);
                    *at += usize::from(tokens.get(*at) == Some(&","));
                }
                *at += 1;
                return;
            }
            "self" => {}
            "super" => drop(path.pop()),
            "*" | "<" => break,
            name => path.push(name.to_owned()),
        }
        if tokens.get(*at) != Some(&"::") {
            break;
        }
        *at += 1;
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if let (Some(&"as"), Some(alias)) = (tokens.get(*at), tokens.get(*at + 1)) {
        name = (*alias).to_owned();
        *at += 2;
    }
    found.push((name, path));
}

/// Returns the paths of a module's code that begin with `crate`, `super`, `self`, or with one of its
/// children.
fn paths(code: &str, module: &[String], children: &[String]) -> Vec<(String, Path)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_path = tokens.get(at + 1) == Some(&"::")
            && (at == 0 || tokens[at - 1] != "::")
            // `pub(in crate::x)` uses nothing.
            && (at < 2 || tokens[at - 2..at] != ["(", "in"]);
        match tokens[at] {
            "crate" if is_path => {
                at += 2;
                tree(&tokens, &mut at, &[], &mut found);
            }
            it if is_path && (["self", "super"].contains(&it) || is_in(children, it)) => {
                tree(&tokens, &mut at, module, &mut found);
            }
            _ => at += 1,
        }
    }
    found
}

fn is_in(names: &[String], name: &str) -> bool {
    names.iter().any(|it| it == name)
}

/// A line without what it may begin with.
fn bare(line: &str) -> &str {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ").map_or(line, |it| it.1),
        Some(rest) => rest.trim_start(),
        None => line,
    };
    line.trim_start_matches("async ")
}

fn children(code: &str) -> Vec<String> {
    let lines = code.lines().map(bare);
    lines.filter_map(|it| Some(it.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())).collect()
}

/// Returns what stands behind each `use` of a module itself.
fn imports(code: &str) -> impl Iterator<Item = &str> {
    let starts = code.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    });
    let starts = starts.filter(|(_, line)| bare(line).starts_with("use "));
    starts.map(|(start, _)| code[start..].split(';').next().unwrap_or_default())
}

/// Formatted code ends an item with a line that has no indent.
fn items(code: &str) -> BTreeMap<String, String> {
    let mut items = BTreeMap::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = tokens(bare(line));
        let is_item = ["const", "enum", "fn", "static", "struct", "trait", "type"];
        let name = match words[..] {
            ["const", "fn", name, ..] => name,
            [kind, name, ..] if is_item.contains(&kind) => name,
            _ => continue,
        };
        let mut text = line.to_owned();
        if !line.ends_with([';', '}']) {
            for line in lines.by_ref() {
                text.push('\n');
                text.push_str(line);
                if line.starts_with(|it: char| !it.is_whitespace()) && line.ends_with([';', '}']) {
                    break;
                }
            }
        }
        items.insert(name.to_owned(), text);
    }
    items
}

/// Reads the library's modules, without those of tests.
fn modules(files: &[File]) -> BTreeMap<Path, Module> {
    let each = files.iter().filter(|it| it.path != "src/main.rs").map(|file| {
        let (path, code) = (module_of(&file.path), without_tests(&code(&file.text)));
        let children = children(&code);
        let imports = imports(&code).flat_map(|it| paths(it, &path, &children)).collect();
        let items = items(&code);
        (path, Module { code, children, imports, items })
    });
    let mut all: BTreeMap<Path, Module> = each.collect();
    let declared = |path: &[String]| {
        (0..path.len())
            .all(|at| all.get(&path[..at]).is_some_and(|it| is_in(&it.children, &path[at])))
    };
    let built: BTreeSet<Path> = all.keys().filter(|it| declared(it)).cloned().collect();
    all.retain(|path, _| built.contains(path));
    all
}

/// Finds the modules that a path leads to. An item that an enclosing module only passes on is where it
/// comes from; an item of its own leads to all that the item needs.
fn targets(
    all: &BTreeMap<Path, Module>,
    user: &[String],
    path: &[String],
    seen: &mut BTreeSet<Path>,
) -> BTreeSet<Path> {
    if !seen.insert(path.to_vec()) {
        return BTreeSet::new();
    }
    let length = (0..=path.len()).rev().find(|it| all.contains_key(&path[..*it])).unwrap_or(0);
    let (module, item) = (&path[..length], path.get(length));
    let Some(item) = item.filter(|_| user.starts_with(module) && user != module) else {
        return BTreeSet::from([module.to_vec()]);
    };
    let Some(it) = all.get(module) else { return BTreeSet::new() };
    if let Some(from) = it.imports.get(item) {
        return targets(all, user, from, seen);
    }
    let Some(text) = it.items.get(item) else { return BTreeSet::new() };
    let mut needed: Vec<Path> =
        paths(text, module, &it.children).into_iter().map(|(_, path)| path).collect();
    for name in tokens(text) {
        if let Some(from) = it.imports.get(name) {
            needed.push(from.clone());
        } else if it.items.contains_key(name) {
            needed.push([module, &[name.to_owned()]].concat());
        }
    }
    needed.iter().flat_map(|path| targets(all, user, path, seen)).collect()
}

/// One use of a sibling, or of what is below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    folder: Path,
    from: String,
    to: String,
    user: Path,
}

impl Arrow {
    fn shown(&self) -> String {
        let sibling = |name: &String| {
            [self.folder.as_slice(), std::slice::from_ref(name)].concat().join("::")
        };
        format!("{} -> {}", sibling(&self.from), sibling(&self.to))
    }
}

fn arrows(all: &BTreeMap<Path, Module>) -> BTreeSet<Arrow> {
    let mut arrows = BTreeSet::new();
    for (user, module) in all {
        for (_, path) in paths(&module.code, user, &[]) {
            for used in targets(all, user, &path, &mut BTreeSet::new()) {
                let depth = user.iter().zip(&used).take_while(|(a, b)| a == b).count();
                if let (Some(from), Some(to)) = (user.get(depth), used.get(depth)) {
                    let folder = user[..depth].to_vec();
                    let (from, to) = (from.clone(), to.clone());
                    arrows.insert(Arrow { folder, from, to, user: user.clone() });
                }
            }
        }
    }
    arrows
}

/// Returns the arrows to a sibling that is declared below.
fn upward(all: &BTreeMap<Path, Module>, arrows: &BTreeSet<Arrow>) -> Vec<Arrow> {
    let wrong = arrows.iter().filter(|it| {
        let order = &all[&it.folder].children;
        let place = |name: &String| order.iter().position(|it| it == name);
        place(&it.from) < place(&it.to)
    });
    wrong.cloned().collect()
}

/// Returns true if `to` of an arrow leads back to its `from`, over siblings alone.
fn is_in_circle(arrows: &BTreeSet<Arrow>, arrow: &Arrow) -> bool {
    let (mut reached, mut next) = (BTreeSet::new(), vec![&arrow.to]);
    while let Some(at) = next.pop() {
        if reached.insert(at) {
            let on = arrows.iter().filter(|it| it.folder == arrow.folder && it.from == *at);
            next.extend(on.map(|it| &it.to));
        }
    }
    reached.contains(&arrow.from)
}

fn problems(files: &[File], accepted: &[&str]) -> Vec<String> {
    let all = modules(files);
    let arrows = arrows(&all);
    let mut problems = Vec::new();
    for path in files.iter().map(|it| module_of(&it.path)) {
        let Some((name, parent)) = path.split_last() else { continue };
        let declares =
            |it: &File| module_of(&it.path) == parent && is_in(&children(&code(&it.text)), name);
        if name != "main" && !files.iter().any(declares) {
            problems.push(format!("{}: no file declares it", path.join("::")));
        }
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for arrow in upward(&all, &arrows) {
        let circle = if is_in_circle(&arrows, &arrow) { ", in a circle" } else { "" };
        let user = format!("{}{circle}", arrow.user.join("::"));
        found.entry(arrow.shown()).or_default().insert(user);
    }
    let new = found.iter().filter(|it| !accepted.contains(&it.0.as_str()));
    problems.extend(new.map(|(arrow, users)| {
        format!("{arrow} (in {})", users.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }));
    let stale = accepted.iter().filter(|it| !found.contains_key(**it));
    problems.extend(stale.map(|it| format!("{it}: it is gone; remove it from the list")));
    problems
}

#[test]
fn every_file_uses_only_siblings_that_are_declared_above_it() {
    let problems = problems(&super::sources(), UPWARD);
    assert!(
        problems.is_empty(),
        "a module uses a sibling that is declared below it; move the `mod` line, or what is used:\n{}",
        problems.join("\n")
    );
}

fn file(path: &str, text: &str) -> File {
    File { path: format!("src/{path}"), text: text.to_owned() }
}

#[test]
fn arrows_to_modules_below_are_found() {
    let parent = "mod a;\nmod b;\npub(crate) mod c;\n#[cfg(test)]\nmod z;\n\
        pub use self::c::C;\nuse c::{inner::D, E as F};\n\
        pub fn go() -> u8 {\n    run()\n}\n\nfn run() -> u8 {\n    c::f()\n}\n\n\
        pub struct Own {\n    it: u8,\n}\n";
    for (text, found) in [
        ("use crate::m::a::A;\n", &[][..]),
        ("use super::a::{self, c};\n", &[]),
        ("use self::c;\nuse super::Own;\n", &[]),
        ("use crate::m::c;\n", &["m::b -> m::c"]),
        ("use super::c::{d, e};\n", &["m::b -> m::c"]),
        ("use super::{a, c as d};\n", &["m::b -> m::c"]),
        ("use crate::{\n    l::{c, d},\n    m::a,\n};\n", &[]),
        ("use crate::{\n    l::{x, y},\n    m::{a, c::{z}},\n};\n", &["m::b -> m::c"]),
        ("use crate::n::N;\nuse crate::l::L;\n", &["m -> n"]),
        ("fn f(it: &super::c::C) {}\n", &["m::b -> m::c"]),
        ("fn f() {\n    for _ in super::c::all() {}\n}\n", &["m::b -> m::c"]),
        ("pub(in crate::m::c) fn f() {}\n", &[]),
        ("// use super::c;\nconst A: &str = \"super::c::C\";\n", &[]),
        ("#[cfg(test)]\nmod tests {\n    use super::super::c;\n}\n", &[]),
        // What the folder's own file passes on, or needs itself.
        ("use super::C;\n", &["m::b -> m::c"]),
        ("use crate::m::{F, Own};\n", &["m::b -> m::c"]),
        ("fn f() -> u8 {\n    super::go()\n}\n", &["m::b -> m::c"]),
    ] {
        let files = [
            file("lib.rs", "pub mod l;\npub mod m;\npub mod n;\n"),
            file("l.rs", ""),
            file("n.rs", "use crate::m::b::B;\n"),
            file("m/mod.rs", parent),
            file("m/a.rs", ""),
            file("m/b.rs", text),
            file("m/c/mod.rs", "mod inner;\nuse super::{a, b};\n"),
            file("m/c/inner.rs", "use super::super::a;\nuse super::C;\n"),
            file("m/z.rs", "use crate::n;\n"),
        ];
        let all = modules(&files);
        let arrows = arrows(&all);
        let upward = upward(&all, &arrows);
        assert_eq!(upward.iter().map(Arrow::shown).collect::<Vec<_>>(), found, "{text}");
        let circles = upward.iter().filter(|it| is_in_circle(&arrows, it)).count();
        assert_eq!(circles, found.len(), "{text}");
        assert_eq!(problems(&files, found), Vec::<String>::new(), "{text}");
        assert_eq!(problems(&files, &[]).len(), found.len(), "{text}");
    }
    let lost = [file("lib.rs", "mod a;\n"), file("a.rs", ""), file("b.rs", "")];
    assert_eq!(
        problems(&lost, &["a -> b"]),
        ["b: no file declares it", "a -> b: it is gone; remove it from the list"]
    );
}
