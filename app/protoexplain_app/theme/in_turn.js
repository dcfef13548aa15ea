/* What a visitor asks first reaches the server first: each question waits until the one before was taken.  Of two that
   are on their way at once the older one may arrive last, and would replace the view that was asked for last. */
(() => {
  const LONGEST_WAIT = 5000;
  const send = window.fetch.bind(window);
  let before = Promise.resolve();

  window.fetch = (place, options) => {
    if (!String(place?.url ?? place).includes("/queue/join")) return send(place, options);
    const taken = before.then(() => send(place, options));
    const late = new Promise((done) => setTimeout(done, LONGEST_WAIT));
    before = Promise.race([taken.catch(() => {}), late]);
    return taken;
  };
})();
