//! Reads lines from stdin ahead, as far as there is room.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use cairn::Diagnostic;
use cairn::value::without_bom;

use super::traffic::{Ticket, Traffic};
use crate::exit::Failure;

/// How many lines are read ahead, before they become flows.
const AHEAD: usize = 64;

/// The longest line, in bytes.
const MAX_LINE: u64 = 16 << 20;

/// A line that is not blank.
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// Its text, or why it cannot be read.
    pub(super) text: Result<String, Diagnostic>,
    pub(super) ticket: Ticket,
}

/// Reads lines in a thread, which may stay blocked on stdin. It stops once `traffic` is closed.
///
/// # Errors
/// When the thread cannot be started. An error of stdin is the last item that is received.
pub(super) fn read_ahead(traffic: Arc<Traffic>) -> Result<Receiver<io::Result<Line>>, Failure> {
    let (lines, ahead) = sync_channel(AHEAD);
    std::thread::Builder::new()
        .name("cairn-stdin".to_owned())
        .spawn(move || {
            let mut stdin = io::stdin().lock();
            for number in 1.. {
                let text = match next(&mut stdin) {
                    Ok(None) => return,
                    Ok(Some(Ok(text))) if without_bom(&text).trim().is_empty() => continue,
                    Ok(Some(text)) => text,
                    Err(error) => return drop(lines.send(Err(error))),
                };
                let Some(ticket) = traffic.admit(text.as_ref().map_or(0, String::len)) else {
                    return;
                };
                let line = Line {
                    number,
                    text,
                    ticket,
                };
                if lines.send(Ok(line)).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| Failure::host(format!("a thread cannot be started: {error}")))?;
    Ok(ahead)
}

/// Reads the next line; `None` at the end. A line that is too long is skipped.
fn next(stdin: &mut impl BufRead) -> io::Result<Option<Result<String, Diagnostic>>> {
    let mut line = Vec::new();
    // One more byte for the line's end.
    let read = io::Read::take(&mut *stdin, MAX_LINE + 1).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if read as u64 > MAX_LINE && !line.ends_with(b"\n") {
        drop(line);
        stdin.skip_until(b'\n')?;
        let message = format!("the line has more than {} MiB", MAX_LINE >> 20);
        return Ok(Some(Err(Diagnostic::new(message))));
    }
    Ok(Some(String::from_utf8(line).map_err(|error| {
        let byte = error.utf8_error().valid_up_to() + 1;
        Diagnostic::new(format!("the line is not UTF-8: see its byte {byte}"))
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut text: &[u8]) -> Vec<Result<String, String>> {
        std::iter::from_fn(|| next(&mut text).unwrap())
            .map(|line| line.map_err(|problem| problem.message))
            .collect()
    }

    #[test]
    fn a_line_that_is_no_text_is_told_and_the_next_is_read() {
        let text = |text: &str| Ok(text.to_owned());
        assert_eq!(
            lines(b"a\nb\xff\n\n\xc3\nc"),
            [
                text("a\n"),
                Err("the line is not UTF-8: see its byte 2".to_owned()),
                text("\n"),
                Err("the line is not UTF-8: see its byte 1".to_owned()),
                text("c"),
            ]
        );
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_line_may_have_so_many_bytes_and_no_more() {
        let longest = " ".repeat(MAX_LINE as usize);
        let found = lines(format!("{longest}\n{longest}x\nlast\n{longest}").as_bytes());
        let is_ok: Vec<_> = found.iter().map(Result::is_ok).collect();
        assert_eq!(is_ok, [true, false, true, true]);
        assert_eq!(found[1], Err("the line has more than 16 MiB".to_owned()));
        assert_eq!(found[2], Ok("last\n".to_owned()));
        let found = lines(format!("{longest}xx").as_bytes());
        assert_eq!(found.len(), 1);
        assert!(found[0].is_err());
    }
}
