//! What is known when, and for how long.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);

fn answers(most: usize, bytes: usize, held: usize) -> Arc<Answers> {
    let limits = AnswerLimits { kept_for: Duration::from_secs(600), most, bytes, held };
    let metrics = Arc::new(Metrics::new("ingress").unwrap());
    let answers = Answers::new(limits, CancellationToken::new(), metrics);
    answers.admit(vec!["default".to_owned(), "sales".to_owned()]);
    answers
}

impl Answers {
    fn tell(&self, profile: &str, number: u128, outcome: Option<&str>) {
        let outcome: Option<Box<RawValue>> = outcome.map(|outcome| serde_json::from_str(outcome).unwrap());
        let trigger_id = TriggerId(Uuid::from_u128(number));
        let progress = Progress { trigger_id, profile: profile.into(), outcome: outcome.as_deref() };
        self.hear(&serde_json::to_vec(&progress).unwrap().into());
    }

    fn number(&self, number: u128) -> Asked {
        self.asked("default", TriggerId(Uuid::from_u128(number))).unwrap()
    }

    fn dropped(&self) -> [u64; 2] {
        [Dropped::Age, Dropped::Room].map(|why| self.metrics.outcomes_dropped.get(why).get())
    }

    fn state(&self, number: u128) -> Progressed {
        self.progress_of(self.number(number))
    }
}

fn done(outcome: &'static str) -> Progressed {
    Progressed::Done(Bytes::from_static(outcome.as_bytes()))
}

#[tokio::test(start_paused = true)]
async fn a_trigger_goes_from_accepted_over_running_to_its_first_outcome_and_is_forgotten() {
    let answers = answers(10, 1_000, 10);
    assert_eq!(answers.state(1), Progressed::Unknown);
    answers.accepted(answers.number(1), DEADLINE);
    assert_eq!(answers.state(1), Progressed::Accepted);
    answers.tell("default", 1, None);
    answers.accepted(answers.number(1), DEADLINE);
    assert_eq!(answers.state(1), Progressed::Running);
    tokio::time::advance(Duration::from_secs(500)).await;
    answers.tell("default", 1, Some(r#"{"a": 1}"#));
    answers.tell("default", 1, Some(r#"{"a": 2}"#));
    answers.tell("default", 1, None);
    assert_eq!(answers.state(1), done(r#"{"a": 1}"#));
    tokio::time::advance(Duration::from_secs(599)).await;
    assert_eq!(answers.state(1), done(r#"{"a": 1}"#), "ten minutes count from the outcome");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(answers.state(1), Progressed::Unknown);
    assert_eq!(answers.dropped(), [1, 0]);
    let known = answers.lock();
    assert_eq!((known.bytes, known.order.len()), (0, 0));
}

/// The notice of an outcome may be lost. What was known before it is then no longer true, and must not be said for ten minutes.
#[tokio::test(start_paused = true)]
async fn a_trigger_whose_outcome_was_not_heard_of_is_unknown_some_seconds_after_its_deadline() {
    let answers = answers(10, 1_000, 10);
    for number in 1..=3 {
        answers.accepted(answers.number(number), DEADLINE);
    }
    answers.tell("default", 2, None);
    answers.tell("default", 3, Some("{}"));
    let states = || [1, 2, 3].map(|number| answers.state(number));
    tokio::time::advance(DEADLINE + Duration::from_secs(9)).await;
    assert_eq!(states(), [Progressed::Accepted, Progressed::Running, done("{}")], "it may be late without any loss");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(states(), [Progressed::Unknown, Progressed::Unknown, done("{}")]);
    // A worker that comes back to it says nothing of how long it takes; an outcome is one, however late.
    answers.tell("default", 1, None);
    assert_eq!(answers.state(1), Progressed::Unknown);
    answers.tell("default", 1, Some(r#"{"late": true}"#));
    assert_eq!(answers.state(1), done(r#"{"late": true}"#));
    // A repeat of the request is no news of the trigger.
    answers.accepted(answers.number(2), DEADLINE);
    assert_eq!(answers.state(2), Progressed::Unknown);
}

#[test]
fn a_replica_that_did_not_accept_a_trigger_knows_nothing_until_it_is_done_and_no_other_profile_ever_does() {
    let answers = answers(10, 1_000, 10);
    answers.tell("default", 1, None);
    assert_eq!(answers.state(1), Progressed::Unknown);
    answers.tell("sales", 1, Some("{}"));
    answers.tell("stranger", 1, Some("{}"));
    assert_eq!(answers.state(1), Progressed::Unknown);
    assert!(answers.asked("stranger", TriggerId(Uuid::from_u128(1))).is_none());
    answers.tell("default", 1, Some("{}"));
    assert_eq!(answers.state(1), done("{}"));
}

#[test]
fn the_oldest_are_forgotten_past_the_number_and_past_the_bytes() {
    let few = answers(2, 1_000, 10);
    for number in 1..=3 {
        few.tell("default", number, Some("{}"));
    }
    assert_eq!([1, 2, 3].map(|number| few.state(number)), [Progressed::Unknown, done("{}"), done("{}")]);
    let small = answers(10, 5, 10);
    for number in 1..=3 {
        small.tell("default", number, Some("{}"));
    }
    assert_eq!([1, 2, 3].map(|number| small.state(number)), [Progressed::Unknown, done("{}"), done("{}")]);
    assert_eq!(small.lock().bytes, 4);
    assert_eq!([few.dropped(), small.dropped()], [[0, 1], [0, 1]]);
    // What was never an outcome is none that is gone.
    few.accepted(few.number(4), DEADLINE);
    few.accepted(few.number(5), DEADLINE);
    few.accepted(few.number(6), DEADLINE);
    assert_eq!(few.dropped(), [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_outcome_with_its_limit_or_with_the_drain_and_leaves_nothing_behind() {
    let answers = answers(10, 1_000, 2);
    let wait = |answers: &Arc<Answers>| {
        let answers = Arc::clone(answers);
        tokio::spawn(async move { answers.outcome_of(answers.number(1), Duration::from_secs(20)).await })
    };
    let (first, second) = (wait(&answers), wait(&answers));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(answers.outcome_of(answers.number(1), Duration::ZERO).await.is_err(), "no place is left");
    answers.tell("default", 1, Some("{}"));
    for waited in [first, second] {
        assert_eq!(waited.await.unwrap().unwrap().unwrap(), "{}");
    }
    let began = Instant::now();
    assert_eq!(answers.outcome_of(answers.number(2), Duration::from_secs(20)).await.unwrap(), None);
    assert_eq!(began.elapsed().as_secs(), 20);
    assert!(answers.lock().waited_for.is_empty());
    answers.draining.cancel();
    assert_eq!(answers.outcome_of(answers.number(2), Duration::from_secs(20)).await.unwrap(), None);
    assert_eq!(began.elapsed().as_secs(), 20, "at once");
}
