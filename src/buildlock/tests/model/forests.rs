//! Every cast of so many processes: all shapes of their trees, with each of a few scripts in each place.

/// What a session without children does.
pub(crate) const ALONE: [&str; 4] = ["S", "E", "SE", "Ed"];
/// What one with children does.
const PARENTS: [&str; 8] = ["Skw", "Ekw", "Ekdw", "Edkw", "SkEw", "SEkw", "SEdkw", "SkwE"];

/// Every cast of up to three sessions.
pub(crate) fn up_to_three() -> impl Iterator<Item = String> {
    let casts = (1..=3).flat_map(|members| forests(members, 3, 3));
    casts.map(|trees| trees.join(" "))
}

/// Every cast of four sessions in so many trees, at most three deep.
pub(crate) fn four(trees: usize) -> impl Iterator<Item = String> {
    let casts = forests(4, 3, trees).into_iter();
    casts
        .filter(move |cast| cast.len() == trees)
        .map(|trees| trees.join(" "))
}

/// Every unordered choice of at most so many trees that have so many members together.
fn forests(members: usize, depth: usize, trees_max: usize) -> Vec<Vec<String>> {
    let of_size = |size| trees(size, depth).into_iter().map(move |tree| (size, tree));
    let known: Vec<_> = (1..=members).flat_map(of_size).collect();
    choices(&known, members, trees_max)
}

/// The same, of the trees that are `known`, each with its size.
fn choices(known: &[(usize, String)], members: usize, trees_max: usize) -> Vec<Vec<String>> {
    if members == 0 {
        return vec![vec![]];
    }
    if trees_max == 0 {
        return vec![];
    }
    let mut all = vec![];
    for (at, (size, tree)) in known.iter().enumerate().filter(|(_, (size, _))| *size <= members) {
        for mut others in choices(&known[at..], members - size, trees_max - 1) {
            others.push(tree.clone());
            all.push(others);
        }
    }
    all
}

/// Every tree that has so many members and is at most so deep.
fn trees(members: usize, depth: usize) -> Vec<String> {
    if members == 1 {
        return ALONE.map(str::to_owned).to_vec();
    }
    if depth == 1 {
        return vec![];
    }
    let broods = forests(members - 1, depth - 1, members - 1);
    let above = |brood: &Vec<String>| PARENTS.map(|parent| format!("{parent}({})", brood.join(")(")));
    broods.iter().flat_map(above).collect()
}
