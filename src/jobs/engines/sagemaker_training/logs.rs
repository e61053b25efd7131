//! The log of a training job: one stream per instance in a log group that all jobs share.

use crate::aws::{Aws, AwsError};
use crate::jobs::engine::{LogCursor, LogLine, LogPage};

const LOG_GROUP: &str = "/aws/sagemaker/TrainingJobs";

/// Log streams of one job that are read; each instance has one.
const STREAMS_MAX: usize = 500;

/// Reads on in all streams of a job.
pub(super) async fn page(aws: &Aws, name: &str, cursor: &LogCursor) -> Result<LogPage, AwsError> {
    let mut page = LogPage { cursor: cursor.clone(), ..LogPage::default() };
    for stream in streams(aws, name).await? {
        let token = page.cursor.get(&stream).cloned();
        let call = aws.logs().get_log_events().log_group_name(LOG_GROUP).log_stream_name(&stream);
        let answer = call.start_from_head(true).set_next_token(token.clone()).send().await?;
        for event in answer.events() {
            page.lines.push(LogLine {
                time: event.timestamp().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()),
                stream: stream.rsplit('/').next().unwrap_or(&stream).to_owned(),
                text: event.message().unwrap_or_default().to_owned(),
            });
        }
        if let Some(next) = answer.next_forward_token() {
            // The same token again means the end, for now.
            page.more |= token.as_deref() != Some(next) && !answer.events().is_empty();
            page.cursor.insert(stream, next.to_owned());
        }
    }
    page.lines.sort_by_key(|line| line.time);
    Ok(page)
}

async fn streams(aws: &Aws, name: &str) -> Result<Vec<String>, AwsError> {
    let mut out = Vec::new();
    let mut token = None;
    loop {
        let call = aws.logs().describe_log_streams().log_group_name(LOG_GROUP);
        let call = call.log_stream_name_prefix(format!("{name}/")).set_next_token(token);
        // The group is made with the first job of the account; before that there is no log to read.
        let page = call.send().await.map_err(AwsError::from).map_or_else(AwsError::absent, |page| Ok(Some(page)))?;
        let Some(page) = page else { return Ok(out) };
        out.extend(page.log_streams().iter().filter_map(|stream| stream.log_stream_name().map(str::to_owned)));
        token = page.next_token().map(str::to_owned);
        if token.is_none() || out.len() >= STREAMS_MAX {
            return Ok(out);
        }
    }
}
