// Web Push by opt-in: nothing is asked, stored or sent before a click.
"use strict";
(() => {
  const box = document.getElementById("push");
  const area = document.getElementById("area");
  const start = document.getElementById("subscribe");
  const stop = document.getElementById("unsubscribe");
  const said = document.getElementById("said");
  if (!box || !("serviceWorker" in navigator) || !("PushManager" in window)) return;

  const post = async (path, body) => {
    const answer = await fetch(path, {
      method: "POST",
      credentials: "omit",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error((await answer.json()).detail);
  };
  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
  const current = async () => {
    const known = await navigator.serviceWorker.getRegistration();
    return known ? known.pushManager.getSubscription() : null;
  };
  const show = (subscription) => {
    stop.hidden = !subscription;
  };
  const attempt = (work) => async () => {
    start.disabled = stop.disabled = true;
    try {
      said.textContent = await work();
    } catch (error) {
      said.textContent = `That did not work: ${error.message}`;
    }
    start.disabled = stop.disabled = false;
  };

  start.addEventListener("click", attempt(async () => {
    if ((await Notification.requestPermission()) !== "granted") return "Your browser does not allow it.";
    const { key } = await (await fetch("push/key", { credentials: "omit" })).json();
    await navigator.serviceWorker.register("sw.js");
    const worker = await navigator.serviceWorker.ready;
    const subscription = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) });
    const { endpoint, keys } = subscription.toJSON();
    await post("push/subscribe", { endpoint, keys: { p256dh: keys.p256dh, auth: keys.auth }, area: area.value });
    show(subscription);
    return `You will be told of ${area.selectedOptions[0].textContent}.`;
  }));

  stop.addEventListener("click", attempt(async () => {
    const subscription = await current();
    if (subscription) {
      await post("push/unsubscribe", { endpoint: subscription.endpoint });
      await subscription.unsubscribe();
    }
    const known = await navigator.serviceWorker.getRegistration();
    if (known) await known.unregister();
    show(null);
    return "You will be told no more. What we kept is deleted.";
  }));

  document.getElementById("needs").hidden = true;
  box.hidden = false;
  current().then(show, () => show(null));
})();
