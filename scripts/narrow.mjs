// A narrow link to a server, for measurements: what the server sends passes at so many megabits a second in all, after a
// delay of half the round trip. One bucket for all connections, as a hospital's line has; nothing is lost and what the
// client sends is only delayed. Answers its own address.
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const CHUNK = 16 << 10;

/** Hands on what one end says, piece after piece, each when `due` says. */
async function pass(from, to, due) {
  try {
    for await (const bytes of from) {
      for (let at = 0; at < bytes.length; at += CHUNK) {
        const piece = bytes.subarray(at, at + CHUNK);
        await delay(Math.max(0, due(piece.length) - performance.now()));
        to.write(piece);
      }
    }
  } catch { /* an end that is gone says nothing more */ }
  to.end();
}

/** Opens a link to `host:port` and resolves to the address of its near end and a way to close it. */
export function narrow(host, port, megabits, roundTripMs) {
  let free = 0; // when the line can take the next byte, in ms of the monotonic clock
  const sockets = new Set();
  const server = createServer(near => {
    const far = connect(port, host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => { near.destroy(); far.destroy(); });
      socket.on('close', () => { sockets.delete(socket); near.destroy(); far.destroy(); });
    }
    pass(near, far, () => performance.now() + roundTripMs / 2);
    pass(far, near, bytes => {
      free = Math.max(free, performance.now()) + bytes * 8 / (megabits * 1000);
      return free + roundTripMs / 2;
    });
  });
  return new Promise(resolve => {
    server.listen(0, '127.0.0.1', () => resolve({
      address: `http://127.0.0.1:${server.address().port}`,
      close: () => { for (const socket of sockets) socket.destroy(); server.close(); },
    }));
  });
}
