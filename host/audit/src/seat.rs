//! A thread that goes while there is nothing to do, and is begun again by whoever has something for it: most logs are idle most of
//! the time, and ten thousand of them would keep tens of thousands of threads.

use std::io;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// When whoever has nothing to do goes to rest.
pub(crate) struct Rest {
    after: Duration,
    began: Instant,
}

impl Rest {
    pub(crate) fn after(after: Duration) -> Self {
        let began = Instant::now();
        Self { after, began }
    }

    /// How long to wait for something to do: for a start, not long.
    pub(crate) fn patience(&self) -> Duration {
        match self.began.elapsed() < self.after {
            true => self.after / 30,
            false => self.after,
        }
    }
}

type Start = Box<dyn FnOnce() + Send>;

/// Begins a thread from one that was there before all others: a new thread has the priority of whoever begins it, and those who follow have
/// made theirs low.
fn started<T: Send + 'static>(
    name: String,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    static STARTER: OnceLock<Option<Sender<Start>>> = OnceLock::new();
    let spawn = move || std::thread::Builder::new().name(name).spawn(run);
    let starter = STARTER.get_or_init(|| {
        let (sender, asked) = channel::<Start>();
        let thread = std::thread::Builder::new().name("log-starter".to_owned());
        let thread = thread.spawn(move || asked.into_iter().for_each(|start| start()));
        thread.is_ok().then_some(sender)
    });
    let Some(starter) = starter else {
        return spawn();
    };
    let (tell, told) = sync_channel(1);
    let gone = || io::Error::other("the thread that begins others has gone");
    let start = Box::new(move || drop(tell.send(spawn())));
    starter.send(start).map_err(|_| gone())?;
    told.recv().map_err(|_| gone())?
}

/// What a thread does.
pub(crate) trait Work: Send + Sized + 'static {
    /// What comes of it in the end.
    type End: Send + 'static;

    /// Works until nothing will come any more. `None` if it went to rest, by [`Seat::rest`].
    fn run(self) -> Option<Self::End>;
}

/// Where whoever does the work is.
pub(crate) struct Seat<W: Work> {
    name: &'static str,
    place: Mutex<Place<W>>,
}

enum Place<W: Work> {
    Working(JoinHandle<Option<W::End>>),
    Resting(W),
    /// Not begun, or at its end.
    Gone,
}

/// How the work ended.
pub(crate) enum Ended<W: Work> {
    /// With this, unless it panicked.
    Working(Option<W::End>),
    /// It was at rest.
    Resting,
}

impl<W: Work> Seat<W> {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            place: Mutex::new(Place::Gone),
        }
    }

    /// Begins the work.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn begin(&self, work: W) -> io::Result<()> {
        let mut place = self.lock();
        *place = Place::Resting(work);
        let begun = self.start(&mut place);
        let unbegun = match begun {
            Ok(()) => None,
            Err(_) => Some(std::mem::replace(&mut *place, Place::Gone)),
        };
        drop(place);
        drop(unbegun);
        begun
    }

    /// The work is there for whoever wakes it.
    pub(crate) fn begin_at_rest(&self, work: W) {
        *self.lock() = Place::Resting(work);
    }

    /// Whoever works goes to rest if `nothing_came`, asked while nobody can wake it. Otherwise it goes on.
    pub(crate) fn rest(&self, work: W, nothing_came: impl FnOnce() -> bool) -> Option<W> {
        let mut place = self.lock();
        if !nothing_came() {
            return Some(work);
        }
        *place = Place::Resting(work);
        None
    }

    /// Has the work gone on with, if it rests.
    ///
    /// # Errors
    /// When there is no thread to be had. It rests on.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.start(&mut self.lock())
    }

    fn start(&self, place: &mut Place<W>) -> io::Result<()> {
        if !matches!(place, Place::Resting(_)) {
            return Ok(());
        }
        // The work is handed over only once there is a thread.
        let (give, take) = sync_channel::<W>(1);
        let name = self.name.to_owned();
        let thread = started(name, move || take.recv().ok().and_then(W::run))?;
        if let Place::Resting(work) = std::mem::replace(place, Place::Working(thread)) {
            // It takes this before anything else.
            drop(give.send(work));
        }
        Ok(())
    }

    /// Whether nobody is at work.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(*self.lock(), Place::Resting(_))
    }

    /// Waits for the end of the work. Whoever rests is let go of.
    pub(crate) fn end(&self) -> Ended<W> {
        let place = std::mem::replace(&mut *self.lock(), Place::Gone);
        match place {
            Place::Working(thread) => Ended::Working(thread.join().ok().flatten()),
            Place::Resting(_) => Ended::Resting,
            Place::Gone => Ended::Working(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place<W>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
