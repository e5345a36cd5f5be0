//! A program is killed, or stopped for a while, at any moment of its refresh. The others go on.

use std::thread::sleep;
use std::time::Duration;

use super::frame::{Asked, Before, Counts, Fleet, Place, SLACK, Setup, at_once, rounds};

const LOCK_LIFE: Duration = Duration::from_millis(300);

/// The outcomes of the rounds. They prove something only if they hit the moments that matter.
#[derive(Debug, Default)]
struct Sum {
    rounds: usize,
    /// Nobody had the refresh token any more, and nobody had sent it to the service: the others used the password.
    lost_before_sent: usize,
    /// The service had received the refresh token.
    lost_after_sent: usize,
    longest_wait: Duration,
}

impl Sum {
    fn add(&mut self, counts: Counts) {
        self.rounds += 1;
        self.lost_before_sent += counts.passwords - counts.refreshes.min(counts.passwords);
        self.lost_after_sent += counts.refreshes.min(counts.passwords);
    }
}

/// Starts a fleet of which one was killed, or stopped, in each round.
fn fleet(place: Place) -> Fleet {
    let fleet = Fleet::start(place, 5, Setup { lock_life: Some(LOCK_LIFE), ..Setup::default() });
    fleet.one_token();
    fleet
}

/// Begins a turn: all ask for a token, and the exchange of one of them is in progress. Returns its number and the orders.
fn begin_turn(fleet: &mut Fleet, round: usize) -> (usize, Vec<Asked>, Before) {
    let before = fleet.begin_turn(Place::record);
    let victim = fleet.rng.usize(..fleet.members.len());
    let first = fleet.members[victim].ask("get 10");
    let moment = fleet.wait_for_moment(round, &before, Place::record);
    let others = fleet.members.iter().enumerate().filter(|(number, _)| *number != victim);
    let asked = [first].into_iter().chain(others.map(|(_, member)| member.ask("get 10"))).collect();
    sleep(moment);
    (victim, asked, before)
}

#[test]
fn a_program_is_killed_at_any_moment_of_its_refresh() {
    at_once(Place::all(), |place| {
        let (mut fleet, mut sum) = (fleet(place), Sum::default());
        let address = fleet.place.address();
        for round in 0..rounds(20) {
            let (victim, asked, before) = begin_turn(&mut fleet, round);
            let limit = LOCK_LIFE + 2 * before.latency + SLACK;
            fleet.members[victim].kill();
            for others in &asked[1..] {
                // The lock of a file ends with the process.
                let (_, wait) = others.tokens_within(limit);
                sum.longest_wait = sum.longest_wait.max(wait);
            }
            fleet.members.remove(victim);
            fleet.one_token();
            let counts = fleet.counts_since(before.counts);
            assert!(counts.passwords <= 1 && counts.refreshes <= 1, "{counts:?}");
            sum.add(counts);
            let another = fleet.program(&address);
            fleet.members.push(another);
            fleet.one_token();
            assert_eq!(fleet.counts_since(before.counts), counts);
        }
        println!("{}: {sum:?}", fleet.place);
        let lost = sum.lost_before_sent + sum.lost_after_sent;
        assert!(sum.lost_after_sent > 0 && lost < sum.rounds, "{sum:?}");
    });
}

#[test]
fn a_program_is_stopped_for_longer_than_its_lock_lasts() {
    at_once(Place::all(), |place| {
        let (mut fleet, mut sum) = (fleet(place), Sum::default());
        for round in 0..rounds(10) {
            let (victim, asked, before) = begin_turn(&mut fleet, round);
            let limit = LOCK_LIFE + 2 * before.latency + SLACK;
            fleet.members[victim].stop();
            sleep(3 * LOCK_LIFE);
            if fleet.place.has_short_locks() {
                for others in &asked[1..] {
                    let (_, wait) = others.tokens_within(limit);
                    sum.longest_wait = sum.longest_wait.max(wait);
                }
            }
            fleet.members[victim].cont();
            asked.iter().for_each(|asked| drop(asked.tokens()));
            fleet.one_token();
            let counts = fleet.counts_since(before.counts);
            assert!(counts.passwords <= 1 && counts.refreshes <= 1, "{counts:?}");
            sum.add(counts);
        }
        println!("{}: {sum:?}", fleet.place);
        if fleet.place.has_short_locks() {
            assert!(sum.lost_after_sent > 0, "{sum:?}");
        } else {
            // The others wait until it goes on.
            assert_eq!(sum.lost_before_sent + sum.lost_after_sent, 0, "{sum:?}");
        }
    });
}
