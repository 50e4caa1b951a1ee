// What the checks in JavaScript share: one line for each, and which failures are no failures yet.

export const PORTS = process.env.QUORATE_PORTS.split(' ').map(Number);
const STRICT = !['', '0', undefined].includes(process.env.QUORATE_CLIENTS_STRICT);
// Far longer than any check takes: a client that waits for ever must not.
const PATIENCE_MS = 15_000;

export async function check(name, body, needs) {
  const slow = new Promise((_, fail) => {
    setTimeout(() => fail(new Error(`no end after ${PATIENCE_MS} ms`)), PATIENCE_MS).unref();
  });
  try {
    await Promise.race([body(), slow]);
    console.log(`ok ${name}`);
  } catch (error) {
    // What a batch met is within.
    const text = [error, error?.errors?.[0], ...(error?.replies ?? [])].map(String).join(' ');
    if (needs && !STRICT && /unknown (sub)?command/i.test(text)) {
      console.log(`SKIPPED ${name}: the node has no ${needs}: ${text}`);
    } else {
      console.log(`FAILED ${name}: ${text}`);
      console.error(error);
    }
  }
}
