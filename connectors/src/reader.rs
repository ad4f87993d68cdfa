//! What is not hot, by simd-json.

use simd_json::tape::Value;
use simd_json::{Buffers, Tape};

/// simd-json with memory that is kept from message to message.
#[derive(Default)]
pub struct Reader {
    buffers: Buffers,
    tape: Option<Tape<'static>>,
}

impl core::fmt::Debug for Reader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// Parses the message in place and gives it to `read`; `None` where it is not JSON.
    pub fn read<T>(
        &mut self,
        payload: &mut [u8],
        read: impl FnOnce(Value<'_, '_>) -> T,
    ) -> Option<T> {
        let mut tape = self.tape.take().unwrap_or_else(Tape::null).reset();
        let parsed = simd_json::fill_tape(payload, &mut self.buffers, &mut tape);
        let result = parsed.ok().map(|()| read(tape.as_value()));
        self.tape = Some(tape.reset());
        result
    }
}
