//! A list that several ask for at once is read once for all of them.
//!
//! Who looks for what a create made lists all that there is of a kind. A run that was cut off leaves many such searches,
//! and each list can take a call for every resource. Who asks while one is under way can't use its answer, which may be
//! older than the question: it waits for the next one, together with all that came meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

use super::AwsError;
use super::resource::Discovered;

type Reading = BoxFuture<'static, Result<Arc<[Discovered]>, AwsError>>;
type Answer = Shared<Reading>;

/// The list of each kind that was asked for last.
#[derive(Debug, Default)]
pub(super) struct Lists(Mutex<BTreeMap<&'static str, List>>);

#[derive(Debug)]
struct List {
    begun: Arc<AtomicBool>,
    /// Gone when nobody waits for it any more.
    answer: WeakShared<Reading>,
}

impl Lists {
    /// Returns the answer to a question that is asked now or later, and by `read` if nobody else asks it.
    pub fn ask(
        &self,
        kind: &'static str,
        read: impl Future<Output = Result<Vec<Discovered>, AwsError>> + Send + 'static,
    ) -> Answer {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = lists.get(kind);
        let before = last.and_then(|last| last.answer.upgrade()).filter(|answer| answer.peek().is_none());
        if let (Some(last), Some(answer)) = (last, &before)
            && !last.begun.load(Ordering::SeqCst)
        {
            return answer.clone();
        }
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let answer = async move {
            if let Some(before) = before {
                // Only its end matters.
                let _ = before.await;
            }
            begins.store(true, Ordering::SeqCst);
            read.await.map(Arc::from)
        };
        let answer = answer.boxed().shared();
        if let Some(waited_for) = answer.downgrade() {
            lists.insert(kind, List { begun, answer: waited_for });
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::join_all;

    use super::*;

    /// Asks; a reading takes a moment, and answers with how many there were.
    fn ask(lists: &Lists, readings: &Arc<AtomicUsize>) -> Answer {
        let readings = Arc::clone(readings);
        lists.ask("kms_key", async move {
            tokio::task::yield_now().await;
            let number = readings.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(vec![Discovered { id: number.to_string().into(), owner: None, name: None }])
        })
    }

    #[tokio::test]
    async fn who_asks_meanwhile_shares_the_next_answer() {
        let (lists, readings) = (Lists::default(), Arc::default());
        let mut first = ask(&lists, &readings);
        assert!(futures::poll!(&mut first).is_pending());
        let others: Vec<Answer> = (0..5).map(|_| ask(&lists, &readings)).collect();
        let id = |answer: Result<Arc<[Discovered]>, AwsError>| answer.unwrap()[0].id.to_string();
        assert_eq!(id(first.await), "1");
        let others: Vec<String> = join_all(others).await.into_iter().map(id).collect();
        assert_eq!(others, ["2"; 5]);
        assert_eq!(id(ask(&lists, &readings).await), "3");
    }

    #[tokio::test]
    async fn nobody_waits_for_a_list_that_everybody_gave_up() {
        let lists = Lists::default();
        let mut given_up = lists.ask("kms_key", futures::future::pending());
        assert!(futures::poll!(&mut given_up).is_pending());
        drop(given_up);
        assert!(ask(&lists, &Arc::default()).await.is_ok());
    }
}
