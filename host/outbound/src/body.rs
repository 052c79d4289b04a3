//! Bodies with limits.

use std::error::Error;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::error::{OutboundError, failed};

/// A request's body, which fails if it is longer than its limit.
pub struct RequestBody<B> {
    body: Pin<Box<B>>,
    left: u64,
    most: u64,
}

impl<B> RequestBody<B> {
    pub(crate) fn new(body: B, most: u64) -> Self {
        Self {
            body: Box::pin(body),
            left: most,
            most,
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        let frame = match self.body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            // The plugin's own end of the body was dropped or was too short.
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(OutboundError::BodyCut))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(Some(match left(self.left, &frame) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => Err(OutboundError::RequestTooLong { most: self.most }),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Subtracts a frame's bytes from those that are left; `None` if it has more.
fn left(left: u64, frame: &Frame<Bytes>) -> Option<u64> {
    let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
    left.checked_sub(bytes)
}

/// A response's body, which fails if it is longer than its limit, or not there in time.
pub struct ResponseBody {
    incoming: Incoming,
    left: u64,
    most: u64,
    deadline: Pin<Box<Sleep>>,
    time: Duration,
    /// How long the server may pause.
    pause: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl ResponseBody {
    pub(crate) fn new(
        incoming: Incoming,
        most: u64,
        deadline: Instant,
        time: Duration,
        pause: Option<Duration>,
    ) -> Self {
        Self {
            incoming,
            left: most,
            most,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            time,
            pause: pause.map(|pause| (pause, Box::pin(tokio::time::sleep(pause)))),
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Option<OutboundError> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Some(OutboundError::Time {
                time: self.time,
                limit: "http_time",
            });
        }
        let (pause, sleep) = self.pause.as_mut()?;
        let is_late = sleep.as_mut().poll(cx).is_ready();
        is_late.then_some(OutboundError::PluginTime { time: *pause })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        // Before the frames: a server that never pauses must not pass the deadline.
        if let Some(late) = self.poll_late(cx) {
            return Poll::Ready(Some(Err(late)));
        }
        let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(failed(&error)))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        if let Some((pause, sleep)) = &mut self.pause {
            let next = Instant::now() + *pause;
            sleep.as_mut().reset(next);
        }
        Poll::Ready(Some(match left(self.left, &frame) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => Err(OutboundError::ResponseTooLong { most: self.most }),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
