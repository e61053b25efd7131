//! The sandbox's clock: virtual (a sleep advances it at once) or wall time at a chosen speed.
//!
//! States of resources are timelines with due times, resolved when read; nothing runs in the background.
//! A virtual clock never goes backwards.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;

/// The time a new virtual clock shows: 2026-01-05T09:00:00Z.
pub const VIRTUAL_START: f64 = 1_767_603_600.0;

/// A shared clock; clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Mutex<State>>);

#[derive(Debug)]
enum State {
    Virtual {
        now: f64,
        /// What sleeps, in the order in which the sleeps end, with whom to wake.
        sleeps: BTreeMap<End, Option<Waker>>,
        /// Counts the sleeps that there ever were.
        serial: u64,
        background: Vec<Waker>,
    },
    Wall {
        base: f64,
        anchor: Instant,
        speed: f64,
    },
}

/// When a sleep ends, in bits of the seconds (which sort like the seconds), and which it is of those that end then.
type End = (u64, u64);

impl Clock {
    /// Makes a virtual clock that shows `start` (seconds since the epoch).
    pub fn virtual_at(start: f64) -> Self {
        let (sleeps, background) = (BTreeMap::new(), Vec::new());
        Clock(Arc::new(Mutex::new(State::Virtual { now: start, sleeps, serial: 0, background })))
    }

    /// Makes a clock that follows wall time, `speed` simulated seconds per second.
    pub fn wall(speed: f64) -> Self {
        Self::wall_since(unix_seconds(), speed)
    }

    /// Makes a clock that showed wall time at `since` (seconds since the epoch), and runs at `speed` from there.
    pub fn wall_since(since: f64, speed: f64) -> Self {
        let base = since + (unix_seconds() - since) * speed;
        Clock(Arc::new(Mutex::new(State::Wall { base, anchor: Instant::now(), speed })))
    }

    /// Returns the time in seconds since the epoch.
    pub fn seconds(&self) -> f64 {
        match &*self.lock() {
            State::Virtual { now, .. } => *now,
            State::Wall { base, anchor, speed } => base + anchor.elapsed().as_secs_f64() * speed,
        }
    }

    /// Returns the time that a client's own clock shows: wall time, where this clock follows it at any speed.
    pub(crate) fn client_seconds(&self) -> f64 {
        match &*self.lock() {
            State::Virtual { now, .. } => *now,
            State::Wall { .. } => unix_seconds(),
        }
    }

    /// Moves the clock forward by `seconds`; negative values are ignored.
    pub fn advance(&self, seconds: f64) {
        let woken = match &mut *self.lock() {
            State::Virtual { now, sleeps, background, .. } => {
                *now += seconds.max(0.0);
                let ended = sleeps.range_mut(..=(now.to_bits(), u64::MAX)).filter_map(|(_, waker)| waker.take());
                ended.chain(background.drain(..)).collect()
            }
            State::Wall { base, .. } => {
                *base += seconds.max(0.0);
                Vec::new()
            }
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Moves a virtual clock forward to `target` if that is in its future.
    pub(crate) fn advance_to(&self, target: f64) {
        let ahead = target - self.seconds();
        if ahead > 0.0 {
            self.advance(ahead);
        }
    }

    /// Returns the wall time that `simulated` takes, or none on a virtual clock.
    fn wall_time(&self, simulated: Duration) -> Option<Duration> {
        match &*self.lock() {
            State::Virtual { .. } => None,
            State::Wall { speed, .. } => Some(simulated.div_f64(speed.max(1e-6))),
        }
    }

    /// Returns a sleep for what runs beside the work: on a virtual clock it ends only when other sleeps move the clock.
    pub fn background(&self) -> SharedAsyncSleep {
        SharedAsyncSleep::new(Background(self.clone()))
    }

    /// Notes a sleep that ends at `target`.
    fn register(&self, target: f64) -> End {
        let State::Virtual { sleeps, serial, .. } = &mut *self.lock() else { return (target.to_bits(), 0) };
        *serial += 1;
        let end = (target.to_bits(), *serial);
        sleeps.insert(end, None);
        end
    }

    /// Forgets a sleep; the one that ends next has to know that it is now.
    fn unregister(&self, end: End) {
        let next = match &mut *self.lock() {
            State::Virtual { sleeps, .. } => {
                sleeps.remove(&end);
                sleeps.first_entry().and_then(|mut next| next.get_mut().take())
            }
            State::Wall { .. } => None,
        };
        next.into_iter().for_each(Waker::wake);
    }

    /// Tells whether a sleep is the one that ends next; where it is not, it is woken when it may be.
    fn is_next(&self, end: End, waker: &Waker) -> bool {
        let State::Virtual { sleeps, .. } = &mut *self.lock() else { return true };
        let is_next = sleeps.first_key_value().is_none_or(|(first, _)| *first == end);
        if !is_next && let Some(kept) = sleeps.get_mut(&end) {
            *kept = Some(waker.clone());
        }
        is_next
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(self.seconds())
    }
}

impl AsyncSleep for Clock {
    fn sleep(&self, duration: Duration) -> Sleep {
        if let Some(wall) = self.wall_time(duration) {
            return Sleep::new(tokio::time::sleep(wall));
        }
        let target = self.seconds() + duration.as_secs_f64();
        Sleep::new(VirtualSleep { clock: self.clone(), target, end: self.register(target), yields: 0 })
    }
}

/// How often a sleep lets other work go first: an answer that is under way always beats a timer.
const YIELDS: u32 = 64;

/// Yields a while, so that work that needs no time goes first; then the sleep that ends first advances the clock.
struct VirtualSleep {
    clock: Clock,
    target: f64,
    end: End,
    yields: u32,
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.clock.seconds() >= self.target {
            return Poll::Ready(());
        }
        if !self.clock.is_next(self.end, context.waker()) {
            // It begins to count again: what the next one wakes goes before it.
            self.yields = 0;
            return Poll::Pending;
        }
        if self.yields < YIELDS {
            self.yields += 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.clock.advance_to(self.target);
        Poll::Ready(())
    }
}

impl Drop for VirtualSleep {
    fn drop(&mut self) {
        self.clock.unregister(self.end);
    }
}

#[derive(Debug)]
struct Background(Clock);

impl AsyncSleep for Background {
    fn sleep(&self, duration: Duration) -> Sleep {
        let clock = self.0.clone();
        if let Some(wall) = clock.wall_time(duration) {
            return Sleep::new(tokio::time::sleep(wall));
        }
        let target = clock.seconds() + duration.as_secs_f64();
        Sleep::new(std::future::poll_fn(move |context| {
            if let State::Virtual { now, background, .. } = &mut *clock.lock()
                && *now < target
            {
                background.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_virtual_sleep_takes_no_wall_time_and_moves_the_clock() {
        let clock = Clock::virtual_at(1000.0);
        clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.seconds(), 4600.0);
        clock.advance(-5.0);
        assert_eq!(clock.seconds(), 4600.0);
    }

    #[tokio::test]
    async fn the_sleep_that_ends_first_ends_first() {
        let clock = Clock::virtual_at(0.0);
        let order = Mutex::new(Vec::new());
        let sleep = async |seconds: u64| {
            clock.sleep(Duration::from_secs(seconds)).await;
            order.lock().unwrap().push((seconds, clock.seconds()));
        };
        let twice = async {
            sleep(2).await;
            sleep(3).await;
        };
        futures::join!(sleep(60), twice, sleep(4));
        assert_eq!(*order.lock().unwrap(), [(2, 2.0), (4, 4.0), (3, 5.0), (60, 60.0)]);
        // A sleep that was given up holds nothing back.
        drop(clock.sleep(Duration::from_secs(1)));
        clock.sleep(Duration::from_secs(2)).await;
        assert_eq!(clock.seconds(), 62.0);
    }

    #[test]
    fn a_wall_clock_runs_at_its_speed() {
        let clock = Clock::wall(1e9);
        let before = clock.seconds();
        assert!(clock.seconds() > before);
    }
}
