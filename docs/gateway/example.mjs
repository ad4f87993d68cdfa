// A client of the gateway, whole: create a session, send a message, see the answer stream, approve the order
// that it asks for, see the fill.
//
//   cargo run --release -- gateway            prints a URL with a ticket
//   node docs/gateway/example.mjs URL [live]  (Node 20 needs --experimental-websocket)
//
// In a browser, delete the two lines with `process`.
const [, , url, mode = "paper"] = process.argv;
const exit = (code) => process.exit(code);

const socket = new WebSocket(url);
const waiting = new Map();
let nextId = 0;
let session;

function request(method, params) {
  const id = String(++nextId);
  socket.send(JSON.stringify({ type: "request", id, method, params }));
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

function subscribe(...channels) {
  const id = String(++nextId);
  socket.send(JSON.stringify({ type: "subscribe", id, channels }));
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

async function begin() {
  session = await request("sessions.create", { projectId: "demo", title: "example", mode });
  await subscribe(`session:${session.id}`, "orders:demo");
  await request("messages.send", { sessionId: session.id, content: "buy" });
}

const on = {
  connected: () => begin().catch(fail),
  "part.created": ({ part }) => part.content && console.log(`${part.type}: ${part.content}`),
  "part.updated": ({ append }) => append && console.log(`+ ${append}`),
  "tool.approval_required": async ({ toolCall }) => {
    const { order, digest, id } = toolCall;
    console.log(`approve: ${order.side} ${order.size} ${order.symbol} at ${order.price}`);
    const decision = await request("tools.approve", { sessionId: session.id, toolCallId: id, digest });
    console.log(`${decision.state} by ${decision.decidedBy}`);
    done("decided");
  },
  "order.updated": ({ order, fill }) => {
    console.log(`order ${order.status}${fill ? `: ${fill.qty} at ${fill.price}` : ""}`);
    if (order.status === "filled" && fill) done("filled");
  },
};

// A fill may be told before the answer to the request that let the order go.
const missing = new Set(["decided", "filled"]);
function done(what) {
  missing.delete(what);
  if (missing.size === 0) exit(0);
}

function fail(error) {
  console.error(error);
  exit(1);
}

socket.onmessage = ({ data }) => {
  const frame = JSON.parse(data);
  if (frame.type === "event") return void Promise.resolve(on[frame.event]?.(frame.data)).catch(fail);
  const { resolve, reject } = waiting.get(frame.id) ?? {};
  waiting.delete(frame.id);
  frame.error ? reject?.(frame.error) : resolve?.(frame.result);
};
socket.onclose = ({ code, reason }) => fail(`closed: ${code} ${reason}`);
