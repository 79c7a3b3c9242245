//! Everything in every order: a guest with three storages and its sinks, checked to the end against
//! what is in memory and on the screens (`world`), and the same with one rule broken, which has to be
//! found.

mod world;

use proptest::prelude::*;
use stateright::{Checker, Model, Property};

use super::super::mutation::Mutation;
use super::*;
use world::{Broken, Doing, SLOTS, World};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    /// Begin to draw a picture into another storage.
    Draw(usize),
    /// Begin to draw into the one that is shown.
    DrawInPlace,
    Scanout,
    /// Announce what is shown once more.
    Again,
    Update,
    LateUpdate,
    Replace,
    /// Pages are about to be replaced.
    Invalidate,
    /// They have been.
    Validate,
    Say(Swap),
    Lose,
    Imported(usize, bool),
    Copied(usize, bool),
    Release(usize, usize),
    Present(usize),
    Hide(usize, bool),
    SetPresent(usize, Present),
    Detach(usize),
    /// The machine's own next moment.
    Tick,
}

/// How much of everything happens.
#[derive(Clone, Debug)]
struct Small {
    presents: Vec<Vec<Present>>,
    say: Option<Swap>,
    frames: u8,
    ticks: u8,
    /// How often something happens that is neither a frame nor a release nor time.
    turns: u8,
    mutation: Option<Mutation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    world: World,
    ticks: u8,
    turns: u8,
}

/// No promise is broken now.
const AT_ONCE: &str = "at once";
/// None will be, however it goes on: if no sink ever does anything again, and if each does what it shall.
const IN_THE_END: &str = "in the end";

impl Small {
    fn turns(&self, world: &World, actions: &mut Vec<Action>) {
        let Doing::Announced = world.doing else {
            if world.doing == Doing::Nothing && world.frame > 0 && !world.lost {
                if world.has_current() {
                    actions.push(Action::Replace);
                    actions.push(Action::Invalidate);
                    actions.push(Action::Again);
                }
                for swap in [Swap::Flip, Swap::InPlace] {
                    if world.swap != Some(swap) {
                        actions.push(Action::Say(swap));
                    }
                }
            }
            return self.turns_of_sinks(world, actions);
        };
        if world.may_update_late() {
            actions.push(Action::LateUpdate);
        }
        actions.push(Action::Replace);
        self.turns_of_sinks(world, actions);
    }

    fn turns_of_sinks(&self, world: &World, actions: &mut Vec<Action>) {
        if !world.lost && world.frame > 0 {
            actions.push(Action::Lose);
        }
        for (i, sink) in world.sinks.iter().enumerate().filter(|(_, sink)| sink.open) {
            actions.push(Action::Hide(i, !sink.hidden));
            let other = if sink.present == Present::Copy { Present::Direct } else { Present::Copy };
            actions.push(Action::SetPresent(i, other));
            actions.push(Action::Detach(i));
            if !sink.importing.is_empty() {
                actions.push(Action::Imported(i, false));
            }
            if world.is_copying(i) {
                actions.push(Action::Copied(i, false));
            }
        }
    }
}

impl Model for Small {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let world = |presents: &Vec<Present>| {
            let mut world = World::new(presents, self.mutation);
            if let Some(swap) = self.say {
                world.say(swap);
            }
            State { world, ticks: 0, turns: 0 }
        };
        self.presents.iter().map(world).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let world = &state.world;
        if world.broken.is_some() {
            return;
        }
        match world.doing {
            Doing::Flip(_) => actions.push(Action::Scanout),
            Doing::Announced | Doing::InPlace => actions.push(Action::Update),
            Doing::Invalid(_) => actions.push(Action::Validate),
            Doing::Nothing if world.frame < self.frames => {
                actions.extend((0..SLOTS).filter(|slot| world.may_draw(*slot)).map(Action::Draw));
                if world.may_draw_in_place() {
                    actions.push(Action::DrawInPlace);
                }
            }
            Doing::Nothing => {}
        }
        for (i, sink) in world.sinks.iter().enumerate().filter(|(_, sink)| sink.open) {
            if !sink.importing.is_empty() {
                actions.push(Action::Imported(i, true));
            }
            if world.is_copying(i) {
                actions.push(Action::Copied(i, true));
            }
            actions.extend(world.releasable(i).into_iter().map(|place| Action::Release(i, place)));
            if world.may_present(i) {
                actions.push(Action::Present(i));
            }
        }
        if state.ticks < self.ticks && world.machine.wakeup().is_some() {
            actions.push(Action::Tick);
        }
        if state.turns < self.turns {
            self.turns(world, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let State { mut world, mut ticks, mut turns } = state.clone();
        turns += 1;
        (world.retired, world.let_go) = (false, false);
        match action {
            Action::Again => world.announce_again(),
            Action::Replace => world.replace(),
            Action::Invalidate => world.invalidate(),
            Action::Say(swap) => world.say(swap),
            Action::Lose => world.lose(),
            Action::LateUpdate => world.late_update(),
            Action::Hide(sink, hidden) => world.hide(sink, hidden),
            Action::SetPresent(sink, present) => world.set_present(sink, present),
            Action::Detach(sink) => world.detach(sink),
            Action::Imported(sink, false) => world.imported(sink, false),
            Action::Copied(sink, false) => world.copied(sink, false),
            _ => turns -= 1,
        }
        match action {
            Action::Draw(slot) => world.draw(slot),
            Action::DrawInPlace => world.draw_in_place(),
            Action::Scanout => world.scanout(),
            Action::Update => world.update(),
            Action::Validate => world.validate(),
            Action::Imported(sink, true) => world.imported(sink, true),
            Action::Copied(sink, true) => world.copied(sink, true),
            Action::Release(sink, place) => world.release(sink, place),
            Action::Present(sink) => world.present(sink),
            Action::Tick => {
                ticks += 1;
                world.tick();
            }
            _ => {}
        }
        Some(State { world, ticks, turns })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(AT_ONCE, |_, state: &State| state.world.broken.is_none()),
            Property::always(IN_THE_END, |_, state: &State| {
                let world = &state.world;
                world.broken.is_some() || world.settles_alone().or(world.ends_well()).is_none()
            }),
        ];
        if self.mutation.is_none() {
            properties.extend([
                Property::sometimes("direct", |_, s: &State| s.world.sinks[0].direct),
                Property::sometimes("all drawn", |m: &Self, s: &State| s.world.frame == m.frames),
            ]);
        }
        if self.mutation.is_none() && self.turns > 0 {
            properties.extend([
                Property::sometimes("forced", |_, s: &State| s.world.counts.forced_acks > 0),
                Property::sometimes("refused", |_, s: &State| s.world.counts.refused_updates > 0),
                Property::sometimes("copied", |_, s: &State| s.world.counts.bytes_copied > 0),
                Property::sometimes("retired", |_, s: &State| s.world.retired),
                Property::sometimes("let go", |_, s: &State| s.world.let_go),
                Property::sometimes("lost", |_, s: &State| s.world.lost),
            ]);
        }
        properties
    }
}

/// Tries everything; says which promise is broken first, if any, and how.
fn check(name: &str, model: Small) -> Option<(Broken, Vec<Action>)> {
    let seeded = model.mutation.is_some();
    let failure = stateright::HasDiscoveries::AnyFailures;
    let checker =
        model.checker().threads(if seeded { 1 } else { 2 }).finish_when(failure).spawn_bfs().join();
    println!("{name}: {} states", checker.unique_state_count());
    let found = checker.discovery(AT_ONCE).or_else(|| checker.discovery(IN_THE_END));
    if let Some(path) = found {
        let world = &path.last_state().world;
        let broken = world.broken.or_else(|| world.settles_alone()).or_else(|| world.ends_well());
        return Some((broken.expect("a promise is broken"), path.into_actions()));
    }
    if !seeded {
        checker.assert_properties();
    }
    None
}

fn holds(name: &str, model: Small) {
    if let Some((broken, how)) = check(name, model) {
        panic!("{name}: {broken}: {how:?}");
    }
}

#[test]
fn flips_and_draws_in_place_of_whoever_says_nothing() {
    let presents = vec![vec![Present::Auto], vec![Present::Direct], vec![Present::Copy]];
    let (say, mutation) = (None, None);
    let all = Small { presents, say, frames: 2, ticks: 1, turns: 1, mutation };
    holds("nothing said", all.clone());
    holds("nothing said, longer", Small { frames: 3, turns: 0, ..all });
}

#[test]
fn flips_that_are_announced() {
    let presents = vec![vec![Present::Auto]];
    let (say, mutation) = (Some(Swap::Flip), None);
    let all = Small { presents, say, frames: 2, ticks: 1, turns: 1, mutation };
    holds("flips", all.clone());
    holds("flips, longer", Small { frames: 3, turns: 0, ..all });
}

#[test]
fn two_sinks_on_one_scanout() {
    let presents = vec![vec![Present::Auto, Present::Copy]];
    let (say, mutation) = (Some(Swap::Flip), None);
    holds("two sinks", Small { presents, say, frames: 2, ticks: 0, turns: 0, mutation });
}

/// A world in which one broken rule shows.
struct Where {
    say: Option<Swap>,
    frames: u8,
    ticks: u8,
    turns: u8,
}

const PRESENTS: &[Present] = &[Present::Auto, Present::Direct, Present::Copy];

const FLIPS: Where = Where { say: Some(Swap::Flip), frames: 2, ticks: 0, turns: 0 };
const TURNS: Where = Where { say: Some(Swap::Flip), frames: 2, ticks: 1, turns: 1 };
const INVALID: Where = Where { say: Some(Swap::Flip), frames: 1, ticks: 2, turns: 1 };
const LONG: Where = Where { say: None, frames: 3, ticks: 1, turns: 0 };
const LATE: Where = Where { say: Some(Swap::Flip), frames: 3, ticks: 2, turns: 0 };

fn is_found(mutation: Mutation, place: &Where, promise: Broken) {
    let Where { say, frames, ticks, turns } = *place;
    let presents = vec![vec![Present::Auto], vec![Present::Copy]];
    let model = Small { presents, say, frames, ticks, turns, mutation: Some(mutation) };
    let found = check(&format!("{mutation:?}"), model);
    let (broken, how) = found.expect("what is broken does not go unnoticed");
    assert_eq!(broken, promise, "{how:?}");
}

macro_rules! mutations {
    ($($test:ident: $mutation:ident in $place:ident => $broken:ident,)*) => {$(
        #[test]
        fn $test() {
            is_found(Mutation::$mutation, &$place, world::$broken);
        }
    )*};
}

mutations! {
    acking_at_once_is_found: AckAtOnce in FLIPS => STALE,
    acking_what_is_on_the_screen_is_found: AckWhenPresented in LATE => TEARS,
    taking_an_update_of_any_buffer_is_found: UpdateOfAnyBuffer in TURNS => ONCE,
    counting_readers_by_buffer_is_found: ReadersByBuffer in TURNS => HANDLES,
    taking_a_release_for_any_commit_is_found: ReleaseOfAnyCommit in TURNS => RETIRED,
    retiring_what_is_held_is_found: RetireWhileHeld in TURNS => RETIRED,
    forgetting_that_a_copy_reads_is_found: CopyIsNoReader in LATE => TEARS,
    showing_an_overtaken_copy_is_found: ShowOvertakenCopy in FLIPS => STALE,
    taking_the_damage_of_another_buffer_is_found: DamageOfAnotherBuffer in FLIPS => STALE,
    targets_that_forget_damage_are_found: TargetsForgetDamage in LONG => STALE,
    having_no_deadline_is_found: NoDeadline in FLIPS => HUNG,
    committing_what_was_replaced_is_found: CommitReplaced in TURNS => STALE,
    letting_go_without_a_copy_is_found: InvalidAsReplaced in INVALID => LET_GO,
    showing_a_copy_that_came_too_late_is_found: ShowLateCopy in INVALID => STALE,
    not_counting_what_is_unguarded_is_found: HideUnguarded in TURNS => HIDDEN,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Far longer than everything can be tried.
    #[test]
    fn long_walks_of_two_sinks(
        presents in (proptest::sample::select(PRESENTS), proptest::sample::select(PRESENTS)),
        choices in proptest::collection::vec(any::<u16>(), 1..150),
    ) {
        let presents = vec![vec![presents.0, presents.1]];
        let (say, mutation) = (None, None);
        let model = Small { presents, say, frames: 60, ticks: 30, turns: 12, mutation };
        let mut state = model.init_states().remove(0);
        let mut done = Vec::new();
        for choice in choices {
            let mut actions = Vec::new();
            model.actions(&state, &mut actions);
            // Ends are rare, or each walk would be short.
            let ends = |action: &Action| matches!(action, Action::Lose | Action::Detach(_));
            actions.retain(|action| choice > 65_000 || !ends(action));
            if actions.is_empty() {
                break;
            }
            let action = actions.swap_remove(usize::from(choice) % actions.len());
            done.push(action.clone());
            state = model.next_state(&state, action).expect("it was on offer");
            let world = &state.world;
            let broken = world.broken.or_else(|| world.settles_alone()).or_else(|| world.ends_well());
            prop_assert_eq!(broken, None, "{:?}", done);
        }
    }
}
