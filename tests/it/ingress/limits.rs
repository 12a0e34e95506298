//! What holders of a secret may not do either: send too much, or the same again. And what is said of the secret itself.

use std::{num::NonZeroU32, time::SystemTime};

use cognigy_fallback_router::ingress::{Rate, RateConfig};

use super::*;

/// Scheme `standard` wants base64.
const STANDARD_SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OLD_SECRET: &str = "an-older-secret-that-is-longer-than-32-bytes";

fn standard_profile() -> Profile {
    let verifier = Verifier::new(Scheme::Standard, &[Secret::new(STANDARD_SECRET)]).unwrap();
    Profile { verifier, ..profile(Scheme::HexBody) }
}

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    let burst = NonZeroU32::new(burst);
    Some(Rate::new(RateConfig { per_second: NonZeroU32::new(per_second).unwrap(), burst }))
}

/// A request of a profile, signed at `now` by the scheme that needs a time, under this `webhook-id`.
fn signed(
    app: &App,
    name: &str,
    scheme: Scheme,
    secret: &str,
    id: &str,
    now: EpochMs,
    body: &Value,
) -> reqwest::RequestBuilder {
    let body = body.to_string().into_bytes();
    let mut request = app.client.post(format!("http://{}/webhook/cognigy/fallback/{name}", app.address));
    for (name, value) in request_headers(scheme, &Secret::new(secret), id, now, &body).unwrap() {
        request = request.header(name, value);
    }
    request.header("content-type", "application/json").body(body)
}

fn ago(seconds: u64) -> EpochMs {
    EpochMs::from(SystemTime::now()).minus(Duration::from_secs(seconds))
}

fn sample(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.text();
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("{series}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_profile_over_its_rate_gets_429_and_a_time_to_come_back_and_others_do_not() {
    let limited = Profile { rate: rate(1, 3), ..profile(Scheme::HexBody) };
    let app = app_with([("default", limited), ("sales", profile(Scheme::HexTsBody))], Vec::new()).await;
    let (mut taken, mut answer) = (0, app.post(&trigger()).await);
    while answer.status == 202 {
        taken += 1;
        assert!(taken < 1000, "a burst of 3 and 1 per second took {taken}");
        answer = app.post(&trigger()).await;
    }
    assert!(taken >= 3, "a burst of 3 took {taken}");
    assert_eq!(answer.is_problem(429).headers["retry-after"], "1");
    assert_eq!(answer.body["type"], "urn:cfr:problem:rate-limited");
    assert_eq!(app.published().len(), taken, "nothing of a refused one is stored");
    assert_eq!(sample(&app.metrics, "cfr_webhook_requests_total{outcome=\"rate_limited\"}"), 1.0);
    let other = signed(&app, "sales", Scheme::HexTsBody, SECRET, "", ago(0), &trigger());
    assert_eq!(Answer::of(other).await.status, 202, "the other profile has its own");
}

#[tokio::test]
async fn a_stranger_cannot_use_up_the_rate_and_a_refused_one_is_not_looked_at() {
    let limited = Profile { rate: rate(1, 1), ..profile(Scheme::HexBody) };
    let app = app_with([("default", limited)], Vec::new()).await;
    for _ in 0..5 {
        let request = app.request("/webhook/cognigy/fallback", b"{}".to_vec());
        let forged = request.header("x-webhook-signature", "nonsense");
        Answer::of(forged).await.is_problem(403);
    }
    let bad_form = || Answer::of(app.request("/webhook/cognigy/fallback", b"not json".to_vec()));
    bad_form().await.is_problem(400);
    // The rate stands before the form: a holder of the secret cannot have nonsense parsed at any rate. Asked at once, so
    // at least one of ten finds the bucket full.
    let answers = futures_util::future::join_all((0..10).map(|_| bad_form())).await;
    assert!(answers.iter().any(|answer| answer.status == 429));
}

#[tokio::test]
async fn a_recorded_standard_request_is_answered_again_but_not_queued_again() {
    let app = app_with([("default", standard_profile())], Vec::new()).await;
    let now = ago(299);
    let send = || Answer::of(signed(&app, "default", Scheme::Standard, STANDARD_SECRET, "msg-1", now, &trigger()));
    let (first, again) = (send().await, send().await);
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.body, again.body);
    assert_eq!(app.published().len(), 1);
    // A key that a stranger can add to what he recorded does not make a new trigger of it.
    let disguised = signed(&app, "default", Scheme::Standard, STANDARD_SECRET, "msg-1", now, &trigger());
    let disguised = Answer::of(disguised.header("idempotency-key", "another")).await;
    assert_eq!(disguised.body, first.body);
    assert_eq!(app.published().len(), 1);
}

#[tokio::test]
async fn a_recorded_request_is_refused_once_its_time_is_over_and_counted_apart() {
    let profiles = [("default", standard_profile()), ("sales", profile(Scheme::HexTsBody))];
    let app = app_with(profiles, Vec::new()).await;
    let ahead = EpochMs::from(SystemTime::now()).plus(Duration::from_secs(310));
    for now in [ago(310), ahead] {
        for (name, scheme, secret) in
            [("default", Scheme::Standard, STANDARD_SECRET), ("sales", Scheme::HexTsBody, SECRET)]
        {
            let answer = Answer::of(signed(&app, name, scheme, secret, "msg-1", now, &trigger())).await;
            assert_eq!(answer.is_problem(403).body["detail"], "Invalid webhook signature");
        }
    }
    assert_eq!(sample(&app.metrics, "cfr_webhook_requests_total{outcome=\"stale_timestamp\"}"), 4.0);
    assert!(app.published().is_empty());
}

#[tokio::test]
async fn a_metric_tells_when_the_current_and_when_an_old_secret_was_last_used() {
    let secrets = [Secret::new(SECRET), Secret::new("a-secret-that-nobody-uses-any-more"), Secret::new(OLD_SECRET)];
    let verifier = Verifier::new(Scheme::HexBody, &secrets).unwrap();
    let app = app_with([("default", Profile { verifier, ..profile(Scheme::HexBody) })], Vec::new()).await;
    let used = |secret: &str| {
        sample(&app.metrics, &format!("cfr_webhook_secret_last_used_timestamp_seconds{{secret=\"{secret}\"}}"))
    };
    let before = ago(0).seconds() as f64;
    assert_eq!((used("current"), used("previous")), (0.0, 0.0));
    assert_eq!(app.post(&trigger()).await.status, 202);
    assert!(used("current") >= before);
    assert_eq!(used("previous"), 0.0);
    let old = signed(&app, "default", Scheme::HexBody, OLD_SECRET, "", ago(0), &trigger());
    assert_eq!(Answer::of(old).await.status, 202);
    assert!(used("previous") >= before);
    let wrong =
        signed(&app, "default", Scheme::HexBody, "neither-of-them-but-longer-than-32-bytes", "", ago(0), &trigger());
    Answer::of(wrong).await.is_problem(403);
}
