/* What a visitor asks first reaches the server first, and each question is answered.  Of two questions that are on their
   way at once the older one may arrive last, and would replace the view that was asked for last: each waits until the
   one before was taken.  And the server ends the stream of answers after the last question that it knows; where it took
   another one meanwhile, its answer would lie there until the next click: the stream goes on instead.  An answer may
   even overtake the word that its question was taken; while a question is on its way, such answers are noted. */
(() => {
  const LONGEST_WAIT = 5000;
  const encoder = new TextEncoder();
  const send = window.fetch.bind(window);
  const unanswered = new Set(), early = new Set();
  let before = Promise.resolve(), asking = 0;

  window.fetch = (place, options) => {
    const address = String(place?.url ?? place);
    if (address.includes("/queue/join")) return ask(place, options);
    if (address.includes("/queue/data")) return answers(place, options);
    return send(place, options);
  };

  function ask(place, options) {
    asking += 1;
    const taken = before.then(() => send(place, options)).then(remember).finally(() => {
      asking -= 1;
      if (!asking) early.clear();
    });
    const late = new Promise((done) => setTimeout(done, LONGEST_WAIT));
    before = Promise.race([taken.catch(() => {}), late]);
    return taken;
  }

  async function remember(answer) {
    const told = await answer.clone().json().catch(() => ({}));
    if (told.event_id && !early.delete(told.event_id)) unanswered.add(told.event_id);
    return answer;
  }

  function answered(event) {
    if (!unanswered.delete(event) && asking) early.add(event);
  }

  async function answers(place, options) {
    const first = await send(place, options);
    if (!first.ok) return first;
    const joined = new ReadableStream({ start: (into) => follow(first, place, options, into) });
    return new Response(joined, { status: first.status, headers: first.headers });
  }

  async function follow(stream, place, options, into) {
    try {
      let ended = await pass(stream.body, into);
      while (ended) {
        await before;
        if (!unanswered.size) break;
        const next = await send(place, options);
        if (!next.ok) throw next;
        ended = await pass(next.body, into);
      }
      if (ended) into.enqueue(encoder.encode(ended));
      into.close();
    } catch (trouble) {
      into.error(trouble);
    }
  }

  /* Passes messages on; what ends the stream is kept back and given to the caller. */
  async function pass(body, into) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
      const end = text.lastIndexOf("\n\n") + 2;
      if (end < 2) continue;
      for (const message of text.slice(0, end).split("\n\n").filter(Boolean)) {
        const { msg, event_id } = JSON.parse(message.slice("data: ".length));
        if (msg === "close_stream") return `${message}\n\n`;
        if (msg === "process_completed" || msg === "unexpected_error") answered(event_id);
        into.enqueue(encoder.encode(`${message}\n\n`));
      }
      text = text.slice(end);
    }
    return "";
  }
})();
