//! Casts: the processes of a search, what each does with its session, and who started whom.
//!
//! Written as in `rule_model.py`, one letter an operation, a process's children in parentheses behind it:
//! `Skw(E)(S(E)) Ed` is a reader that starts two children and waits for them, one of which starts another, beside a mutator
//! that ends as a reader.

use buildlock::Mode;

/// One operation of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// `S`, `E`: takes the lock; a second time, upgrades its own hold.
    Acquire(Mode),
    /// `s`, `e`: takes the lock if it can be had now, and otherwise ends.
    TryAcquire(Mode),
    /// `d`: turns its exclusive hold into a shared one.
    Downgrade,
    /// `k`: its children may start from here on.
    Admit,
    /// `w`: waits until its children have ended.
    Await,
    /// `l`: lends its session to a child that is no session itself, and outlives it if it is killed.
    Lend,
}

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub script: Vec<Op>,
    pub parent: Option<usize>,
    pub children: Vec<usize>,
    pub ancestors: Vec<usize>,
}

/// The processes of one search.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub notation: String,
    pub members: Vec<Member>,
}

impl Cast {
    /// Reads the notation.
    ///
    /// # Panics
    /// Where it makes no sense.
    pub(crate) fn parse(notation: &str) -> Self {
        let mut members: Vec<Member> = Vec::new();
        let mut above = Vec::new();
        let mut last = None;
        for letter in notation.chars() {
            match letter {
                ' ' => assert!(above.is_empty(), "a tree does not end in `{notation}`"),
                '(' => above.push(last.expect("a child has a parent")),
                ')' => last = Some(above.pop().expect("a parenthesis that closes was opened")),
                _ => {}
            }
            let op = match letter {
                'S' => Op::Acquire(Mode::Shared),
                'E' => Op::Acquire(Mode::Exclusive),
                's' => Op::TryAcquire(Mode::Shared),
                'e' => Op::TryAcquire(Mode::Exclusive),
                'd' => Op::Downgrade,
                'k' => Op::Admit,
                'w' => Op::Await,
                'l' => Op::Lend,
                '(' | ' ' | ')' => {
                    if letter != ')' {
                        last = None;
                    }
                    continue;
                }
                other => panic!("`{other}` is no operation"),
            };
            let member = *last.get_or_insert_with(|| {
                let parent = above.last().copied();
                let mut ancestors = parent.map_or_else(Vec::new, |p: usize| members[p].ancestors.clone());
                ancestors.extend(parent);
                members.push(Member {
                    script: Vec::new(),
                    parent,
                    children: Vec::new(),
                    ancestors,
                });
                members.len() - 1
            });
            members[member].script.push(op);
        }
        assert!(above.is_empty(), "a tree does not end in `{notation}`");
        for child in 0..members.len() {
            if let Some(parent) = members[child].parent {
                members[parent].children.push(child);
            }
        }
        Self {
            notation: notation.to_owned(),
            members,
        }
    }

    pub(crate) fn somebody_tries(&self) -> bool {
        let tries = |op: &Op| matches!(op, Op::TryAcquire(_));
        self.members.iter().any(|m| m.script.iter().any(tries))
    }

    /// Whether one of the two descends from the other, or they are the same.
    pub(crate) fn are_kin(&self, a: usize, b: usize) -> bool {
        a == b || self.members[a].ancestors.contains(&b) || self.members[b].ancestors.contains(&a)
    }
}
