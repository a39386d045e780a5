// Package journal owns the agent's durable, append-only record of what it
// accepted, did and found, and the bounds on it. It must not know what a
// session is, who asks for a job or how one is run.
//
// # On disk
//
// One file, "journal", beside "journal.lock" (held while open). All numbers are
// little-endian. The file begins with a header of 64 bytes:
//
//	 0   7  "rmjrnl\n"
//	 7   1  format version, 1
//	 8  16  random id of the journal
//	24   8  floor: the last sequence number when this file was written
//	32   8  when this file was written, milliseconds since 1970
//	40   4  CRC-32C of the bytes 0 to 39
//	44  20  zeros
//
// The header never changes; a compaction writes a new file. Frames follow:
//
//	 0   4  length of what follows these 28 bytes, never 0
//	 4   4  CRC-32C of the whole frame but these four bytes
//	 8   8  sequence number
//	16   8  time, milliseconds since 1970
//	24   1  length of the kind; 0 in a mark
//	25   1  length of the job id
//	26   1  flags: 1, lines of this log warn
//	27   1  0
//	28      kind, job id, body (JSON)
//
// A record's number is that of the frame before it plus one. A mark is the one
// frame that is no record: its number says "nothing else is kept up to here",
// its body of 8 bytes is the cursor that the server has acknowledged; the last
// mark counts. Marks carry acknowledgements, and stand where a compaction freed
// records or a repair gave numbers up, so a number that is missing without a
// mark is damage.
//
// After the last frame come zeros that were really written: room that a full
// disk can't take away. The file always ends with at least 28 of them, so that a
// shortened file shows.
//
// # Damage
//
// Open keeps all frames before the first damage and cuts the rest. What it cuts
// may have been sent, or may be the torn end of something never synced; the file
// can't tell which. If such a number were used again, the server would take the
// new record for the old one and ignore it. So the numbers that the cut bytes can
// have held are given up, in one mark and one gap record written before the bytes
// go. The id stays: a new one would make the server take kept records again, and
// their jobs have ended there. Only a file whose header is damaged is replaced by
// a journal with a new id, since then neither id nor numbers are known. When whole
// frames stand behind the damage, the cut bytes are first copied to
// "journal.damaged-<time>" for a person.
//
// A loss that leaves no trace in the file, such as an older copy put in its place,
// shows as a server's cursor beyond the last number: see [ErrAhead].
package journal
