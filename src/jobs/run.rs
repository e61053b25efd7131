//! Runs a job: looks at its record, makes one step, writes what came of it, and looks again.
//!
//! `super::decide` holds every decision; this does what it says. Each step writes its intent
//! before its first call, so that whoever comes next, in this process or another, knows where to go on.

use std::path::PathBuf;

use tokio::sync::Mutex;

use super::data;
use super::decide::{Identified, Move, check_budget, decide, identify};
use super::engine::{AnyEngine, LogCursor, LogPage, Order, Seen};
use super::engines::{self, upload};
use super::error::JobError;
use super::file::Job;
use super::ledger;
use super::price::WorstCase;
use super::record::{RECORD_VERSION, Record, Refusal, Stage};
use crate::aws::wait::{Bound, Poll, until};
use crate::aws::{Aws, AwsError};
use crate::state::Writer;

/// Bytes of one part of an upload; files up to this size go up in one call.
pub const PART_BYTES: u64 = 16 << 20;

/// Steps of one run, at most; each either moves the job on or finds that somebody else did.
const ROUNDS_MAX: usize = 64;

/// Times a record is written anew after others changed it.
const WRITES_MAX: usize = 16;

/// Polls in a row that may fail by the way to AWS before following stops; the job goes on all the same.
const POLLS_LOST_MAX: u32 = 10;

/// Seconds that a job may wait for instances, on top of its deadline, while somebody follows it.
const QUEUE_SECONDS_MAX: u64 = 24 * 3600;

/// What happens while a job runs; for whoever shows it.
#[derive(Debug)]
pub enum Event<'a> {
    /// The job was known before this run.
    Found(&'a Record),
    /// The record changed.
    Changed(&'a Record),
    /// Bytes of a file that are on S3.
    Uploading { path: &'a str, done: u64, all: u64 },
    /// The object is there already.
    Skipped { path: &'a str },
    /// A piece of a model's answer.
    Text(&'a str),
    /// AWS could not be asked; it is asked again.
    Unreachable(&'a AwsError),
}

/// Is told of events; must not block.
pub type Listener<'l> = dyn Fn(Event<'_>) + Send + Sync + 'l;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub record: Record,
    /// Whether it had ended before this run, so that nothing was done.
    pub was_done: bool,
}

/// What jobs need: the account, the ledger, and a folder for answers.
pub struct Jobs<'a> {
    pub aws: Aws,
    /// A writer of the environment's log; the lease is not needed.
    pub writer: Writer,
    /// Where answers are kept.
    pub folder: PathBuf,
    pub part_bytes: u64,
    pub listener: &'a Listener<'a>,
}

/// What an engine may do while it sends: call AWS, and have the record written before it goes on.
pub(crate) struct Sending<'a> {
    pub aws: &'a Aws,
    pub folder: &'a std::path::Path,
    pub listener: &'a Listener<'a>,
    writer: &'a Writer,
    record: &'a Mutex<Record>,
}

impl Sending<'_> {
    /// Writes what is known so far; the call returns when it is durable.
    pub(crate) async fn note(&self, seen: Seen) -> Result<(), JobError> {
        let mut record = self.record.lock().await;
        let mut next = record.clone();
        absorb(&mut next, seen, self.aws, None);
        if !ledger::put(self.writer, std::slice::from_ref(&next)).await? {
            return Err(JobError::Contended { id: record.id.clone() });
        }
        (self.listener)(Event::Changed(&next));
        *record = next;
        Ok(())
    }
}

impl Jobs<'_> {
    /// Runs a job to its end, or goes on with it; `again` runs it once more where it has ended.
    ///
    /// # Errors
    /// Before the first call where the budget does not hold; later what stopped it. What was done is recorded.
    pub async fn run(&self, job: &Job, again: bool) -> Result<Run, JobError> {
        let identified = identify(job).await?;
        let (mut again, mut seen_before) = (again, false);
        for _ in 0..ROUNDS_MAX {
            let record = ledger::latest(&self.writer.state().await?, &identified.base)?;
            if let (Some(record), false) = (&record, seen_before) {
                (self.listener)(Event::Found(record));
            }
            seen_before = true;
            match (decide(record.as_ref(), again, job.is_detached()), record) {
                (Move::Plan { attempt }, before) => {
                    let worst = check_budget(job)?;
                    if self.plan(job, &identified, attempt, before, worst).await? {
                        again = false;
                    }
                }
                (Move::Start, Some(record)) => {
                    check_budget(job)?;
                    self.start(job, &identified, record).await?;
                    again = false;
                }
                (Move::Recover, Some(record)) => {
                    let attempt = record.attempt + 1;
                    if self.recover(job, &identified, &record, again).await? {
                        let worst = check_budget(job)?;
                        self.plan(job, &identified, attempt, Some(record), worst).await?;
                    }
                    again = false;
                }
                (Move::Follow, Some(record)) => {
                    self.follow(job.engine, record).await?;
                    again = false;
                }
                (Move::Done, Some(record)) => return Ok(Run { record, was_done: true }),
                (Move::Refuse, Some(record)) => return Err(JobError::Ended(Box::new(record))),
                (_, None) => return Err(JobError::NotFound { id: identified.base }),
            }
            // What this very run brought to its end is its result, good or bad.
            if let Some(record) = ledger::latest(&self.writer.state().await?, &identified.base)?
                && record.stage.is_ended()
                && !again
            {
                return Ok(Run { record, was_done: false });
            }
        }
        Err(JobError::Contended { id: identified.base })
    }

    /// Writes the first record of an attempt; tells whether this run won.
    async fn plan(
        &self,
        job: &Job,
        identified: &Identified,
        attempt: u32,
        before: Option<Record>,
        worst: Option<super::Usd>,
    ) -> Result<bool, JobError> {
        let id = match attempt {
            1 => identified.base.clone(),
            later => format!("{}.{later}", identified.base),
        };
        let record = Record {
            version: RECORD_VERSION,
            id,
            job: job.name.clone(),
            environment: job.scope.environment.clone(),
            engine: job.engine.name().to_owned(),
            digest: identified.digest.clone(),
            attempt,
            sequence: 1,
            stage: Stage::Planned,
            spec: job.engine.summary(&job.spec),
            name: job.engine.job_name(&job.scope.environment, &job.name, &identified.digest, attempt),
            deadline_seconds: job.deadline.as_secs(),
            budget: job.budget,
            worst_case: worst,
            price: job.price.clone(),
            cost: None,
            data: Vec::new(),
            remote: super::Remote::default(),
            refusal: None,
            planned: self.aws.now(),
            submitted: None,
            ended: None,
        };
        let mut records = vec![record];
        if let Some(mut before) = before.filter(|before| !before.stage.is_ended()) {
            before.stage = Stage::Lost;
            before.sequence += 1;
            before.ended = Some(self.aws.now());
            records.push(before);
        }
        let won = ledger::put(&self.writer, &records).await?;
        if won {
            (self.listener)(Event::Changed(&records[0]));
        }
        Ok(won)
    }

    /// Uploads what is missing and sends the job.
    async fn start(&self, job: &Job, identified: &Identified, mut record: Record) -> Result<(), JobError> {
        if !identified.data.is_empty() {
            record.stage = Stage::Uploading;
            let Some(mut uploading) = self.write(record).await? else { return Ok(()) };
            for (set, there) in identified.sets.iter().zip(&identified.data) {
                let place =
                    upload::Place { owner: &job.scope.account, part_bytes: self.part_bytes, listener: self.listener };
                for file in &there.files {
                    let path = data::local_path(&job.folder, set, file);
                    if let Err(error) = upload::file(&self.aws, &place, there, file, &path).await {
                        return Err(self.refused(uploading, error).await);
                    }
                }
            }
            uploading.data = identified.data.clone();
            record = uploading;
        }
        record.stage = Stage::Submitting;
        record.submitted = Some(self.aws.now());
        record.refusal = None;
        let Some(record) = self.write(record).await? else { return Ok(()) };
        self.send(job, identified, record).await
    }

    async fn send(&self, job: &Job, identified: &Identified, record: Record) -> Result<(), JobError> {
        let shared = Mutex::new(record.clone());
        let sending = self.sending(&shared);
        let order = Order {
            spec: &job.spec,
            record: &record,
            scope: &job.scope,
            data: &identified.data,
            tags: &job.tags,
            deadline: job.deadline,
        };
        let answer = job.engine.submit(&sending, order).await;
        let record = shared.into_inner();
        match answer {
            Ok(seen) => self.settle(job.engine, record, seen).await.map(|_| ()),
            Err(JobError::Aws(error)) if !error.is_ambiguous() => Err(self.refused(record, error.into()).await),
            // What goes on without this client is found again by its name; what does not is lost.
            Err(error) if job.is_detached() => Err(error),
            Err(error @ (JobError::Aws(_) | JobError::CutOff { .. })) => {
                let reason = Some(error.to_string());
                let mut remote = record.remote.clone();
                remote.reason = reason;
                self.settle(job.engine, record, Seen { stage: Stage::Lost, remote }).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes that a call was refused and changed nothing; the job can be run again as it is.
    async fn refused(&self, mut record: Record, error: JobError) -> JobError {
        record.stage = Stage::Planned;
        record.submitted = None;
        if let JobError::Aws(error) = &error {
            record.refusal = Some(Refusal::new(error, self.aws.now()));
        }
        match self.write(record).await {
            Ok(_) => error,
            Err(ledger) => ledger,
        }
    }

    /// Looks for a job that was to be sent; tells whether a new attempt may be made.
    async fn recover(
        &self,
        job: &Job,
        identified: &Identified,
        record: &Record,
        again: bool,
    ) -> Result<bool, JobError> {
        let shared = Mutex::new(record.clone());
        let found = job.engine.find(&self.sending(&shared), record).await?;
        match found {
            Some(seen) => {
                self.settle(job.engine, record.clone(), seen).await?;
                Ok(false)
            }
            None if job.is_detached() => {
                // The same name can't start a second one, so that sending again is safe.
                check_budget(job)?;
                self.start(job, identified, record.clone()).await?;
                Ok(false)
            }
            None if again => Ok(true),
            None => Err(JobError::InDoubt(Box::new(record.clone()))),
        }
    }

    fn sending<'s>(&'s self, record: &'s Mutex<Record>) -> Sending<'s> {
        Sending { aws: &self.aws, folder: &self.folder, listener: self.listener, writer: &self.writer, record }
    }

    /// Writes the next record; `None` where somebody else changed it.
    async fn write(&self, mut record: Record) -> Result<Option<Record>, JobError> {
        record.sequence += 1;
        if !ledger::put(&self.writer, std::slice::from_ref(&record)).await? {
            return Ok(None);
        }
        (self.listener)(Event::Changed(&record));
        Ok(Some(record))
    }

    /// Writes what was seen, whatever others wrote meanwhile; stops a job that was cancelled while it was sent.
    async fn settle(&self, engine: &dyn AnyEngine, record: Record, seen: Seen) -> Result<Record, JobError> {
        let id = record.id.clone();
        let mut current = record;
        for _ in 0..WRITES_MAX {
            let mut next = current.clone();
            absorb(&mut next, seen.clone(), &self.aws, Some(engine));
            if same_but_sequence(&next, &current) {
                return Ok(current);
            }
            if ledger::put(&self.writer, std::slice::from_ref(&next)).await? {
                (self.listener)(Event::Changed(&next));
                return Ok(next);
            }
            let there = ledger::get(&self.writer.state().await?, &id)?;
            current = there.ok_or_else(|| JobError::NotFound { id: id.clone() })?;
            if current.stage == Stage::Cancelled && !seen.stage.is_ended() && engine.is_detached() {
                let mut alive = current.clone();
                alive.remote = seen.remote.clone();
                engine.cancel(&self.aws, &alive).await?;
                alive.stage = Stage::Stopping;
                alive.ended = None;
                current = self.write(alive).await?.ok_or(JobError::Contended { id: id.clone() })?;
                return Ok(current);
            }
            if current.stage.is_ended() && current.stage != Stage::Lost {
                return Ok(current);
            }
        }
        Err(JobError::Contended { id })
    }

    /// Asks until the job has ended.
    async fn follow(&self, engine: &dyn AnyEngine, record: Record) -> Result<Record, JobError> {
        let bound = Bound {
            total: std::time::Duration::from_secs(record.deadline_seconds + QUEUE_SECONDS_MAX),
            pause: std::time::Duration::from_secs(1),
            pause_max: std::time::Duration::from_secs(15),
        };
        let what = format!("job {}", record.id);
        let current = Mutex::new((record, 0));
        until(&self.aws, &what, bound, || async {
            let mut current = current.lock().await;
            let (record, lost) = &mut *current;
            let seen = match engine.poll(&self.aws, record).await {
                Ok(seen) => seen,
                Err(error) if error.may_succeed_later() && *lost < POLLS_LOST_MAX => {
                    *lost += 1;
                    (self.listener)(Event::Unreachable(&error));
                    return Ok(Poll::Pending("not to be asked".to_owned()));
                }
                Err(error) => return Err(error),
            };
            *lost = 0;
            Ok(match self.settle(engine, record.clone(), seen).await {
                Ok(next) if next.stage.is_ended() => Poll::Ready(Ok(next)),
                Ok(next) => {
                    let state = next.stage.word().to_owned();
                    *record = next;
                    Poll::Pending(state)
                }
                Err(error) => Poll::Ready(Err(error)),
            })
        })
        .await?
    }

    fn engine_of(record: &Record) -> Result<&'static dyn AnyEngine, JobError> {
        let reason = || format!("this opora has no engine `{}`", record.engine);
        engines::get(&record.engine).ok_or_else(|| JobError::Record { id: record.id.clone(), reason: reason() })
    }

    /// Asks where a job stands, and writes what is new.
    ///
    /// # Errors
    /// Where there is no such job, or AWS can't be asked.
    pub async fn status(&self, id: &str) -> Result<Record, JobError> {
        let record = ledger::find(&self.writer.state().await?, id)?;
        let engine = Self::engine_of(&record)?;
        let seen = match record.stage {
            Stage::Submitting => {
                let shared = Mutex::new(record.clone());
                engine.find(&self.sending(&shared), &record).await?
            }
            Stage::Submitted | Stage::Running | Stage::Stopping if engine.is_detached() => {
                Some(engine.poll(&self.aws, &record).await?)
            }
            _ => None,
        };
        match seen {
            Some(seen) => self.settle(engine, record, seen).await,
            None => Ok(record),
        }
    }

    /// Stops a job, and returns when it has ended.
    ///
    /// # Errors
    /// Where it has ended, or can't be stopped.
    pub async fn cancel(&self, id: &str) -> Result<Record, JobError> {
        for _ in 0..WRITES_MAX {
            let record = self.status(id).await?;
            let engine = Self::engine_of(&record)?;
            let refuse = |reason: &str| JobError::NotCancellable { id: record.id.clone(), reason: reason.to_owned() };
            match record.stage {
                stage if stage.is_ended() => return Err(refuse(&format!("it has ended: {}", stage.word()))),
                _ if !engine.is_detached() && record.stage >= Stage::Submitting => {
                    return Err(refuse("it runs in the client that sent it; stop that one"));
                }
                // Whoever is about to send it loses the race for the next record, and stops what it sent.
                Stage::Planned | Stage::Uploading | Stage::Submitting => {
                    let ended = Some(self.aws.now());
                    if let Some(done) = self.write(Record { stage: Stage::Cancelled, ended, ..record }).await? {
                        return Ok(done);
                    }
                }
                _ => {
                    engine.cancel(&self.aws, &record).await?;
                    let stopping = Record { stage: Stage::Stopping, ..record.clone() };
                    if let Some(record) = self.write(stopping).await? {
                        return self.follow(engine, record).await;
                    }
                }
            }
        }
        Err(JobError::Contended { id: id.to_owned() })
    }

    /// Reads on in a job's log.
    ///
    /// # Errors
    /// Where AWS can't be asked.
    pub async fn logs(&self, record: &Record, cursor: &LogCursor) -> Result<LogPage, JobError> {
        Ok(Self::engine_of(record)?.logs(&self.aws, record, cursor).await?)
    }
}

/// Puts what was seen into a record.
fn absorb(record: &mut Record, seen: Seen, aws: &Aws, engine: Option<&dyn AnyEngine>) {
    record.sequence += 1;
    // AWS may still say that it runs just after it was asked to stop it.
    let stopping = record.stage == Stage::Stopping && !seen.stage.is_ended();
    record.stage = if stopping { Stage::Stopping } else { seen.stage };
    record.remote = seen.remote;
    if record.stage.is_ended() {
        record.ended = record.ended.or_else(|| Some(aws.now()));
        record.refusal = None;
        if let Some(engine) = engine
            && let WorstCase::Known(cost) = engine.cost(&record.spec, record.remote.usage, aws.region(), &record.price)
            && !record.remote.usage.is_empty()
        {
            record.cost = Some(cost);
        }
    }
}

fn same_but_sequence(a: &Record, b: &Record) -> bool {
    a.stage == b.stage && a.remote == b.remote && a.cost == b.cost
}
