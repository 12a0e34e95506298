//! What a deployment says of itself when it is asked.

use crate::processes::Deployment;

impl Deployment {
    /// What a worker's admin listener says under a path; none if it does not listen.
    pub(crate) async fn worker_says(&self, number: usize, path: &str) -> Option<(u16, String)> {
        let url = format!("http://{}{path}", self.workers[number].address);
        let response = crate::support::app::client().get(url).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// What the running workers hold, for the words of a row that failed.
    pub(crate) async fn told_by_workers(&self) -> String {
        let mut told = String::new();
        for number in 0..self.workers.len() {
            let (ready, metrics) =
                (self.worker_says(number, "/readyz").await, self.worker_says(number, "/metrics").await);
            let metrics = metrics.map(|(_, text)| text).unwrap_or_default();
            let held: Vec<_> = metrics.lines().filter(|line| line.starts_with("cfr_worker_in_flight{")).collect();
            told.push_str(&format!("worker {number}: {ready:?}, {}; ", held.join(", ")));
        }
        told + &self.told_by_the_broker().await
    }

    /// Ready messages, held ones and consumers of each queue that has any.
    async fn told_by_the_broker(&self) -> String {
        let Some((vhost, node)) = self.vhost.as_ref().zip(self.node.as_ref()) else { return String::new() };
        let code = format!(
            "[{{element(4, element(2, Q)), rabbit_amqqueue:info(Q, [messages_ready, messages_unacknowledged, consumers])}} \
             || Q <- rabbit_amqqueue:list(<<\"{}\">>)].",
            vhost.name
        );
        node.eval(code).await.replace('\n', " ")
    }

    /// What the running workers count that may have been done twice: acknowledgements and confirms that did not come,
    /// deliveries that came back, and (if asked for) posts whose answer did not come in time.
    pub(crate) async fn doubts(&self, posts: bool) -> usize {
        let mut doubts = 0;
        for number in 0..self.workers.len() {
            doubts += self.doubts_of(number, posts).await;
        }
        doubts
    }

    /// The same of one worker, which may be about to end.
    pub(crate) async fn doubts_of(&self, number: usize, posts: bool) -> usize {
        let Some((_, metrics)) = self.worker_says(number, "/metrics").await else { return 0 };
        let counts = |line: &&str| {
            line.starts_with("cfr_acks_lost_total")
                || line.starts_with("cfr_publishes_unknown_total")
                || line.starts_with("cfr_messages_consumed_total{redelivered=\"true\"}")
                || (posts && line.starts_with("cfr_stage_failures_total") && line.contains("\"callback\""))
        };
        metrics.lines().filter(counts).filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum()
    }
}
