// Shows times in the reader's zone, and renews the list while nobody works in it.
"use strict";

const SECONDS_BETWEEN_LOOKS = 15;

for (const time of document.querySelectorAll("time")) {
  const at = new Date(time.dateTime);
  const isToday = at.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { month: "short", day: "numeric" };
  time.textContent = at.toLocaleString(document.documentElement.lang, { ...day, hour: "2-digit", minute: "2-digit", hour12: false });
  time.title = at.toString();
}

// Rows never move under a reader: no renewal while something in the list has the focus, the form is open or
// the page is scrolled or hidden.
const queue = document.querySelector(".queue, .empty");
if (queue) {
  setInterval(() => {
    const isBusy = queue.contains(document.activeElement) || document.querySelector(".send[open] input:valid[type=file]")
      || document.querySelector(".send :focus") || window.scrollY > 40 || document.hidden;
    if (!isBusy) {
      location.reload();
    }
  }, SECONDS_BETWEEN_LOOKS * 1000);
}

// Whoever has a study open is told when images come; the page stays as it is until they ask for them.
const changed = document.querySelector("#changed[data-study]");
if (changed) {
  const looking = setInterval(async () => {
    if (document.hidden) {
      return;
    }
    const answer = await fetch(`/api/v1/studies/${changed.dataset.study}/arrival`).catch(() => null);
    if (answer === null || !answer.ok) {
      return; // the next look tells; a session that has ended is told where somebody acts
    }
    const now = await answer.json();
    if (now.images > Number(changed.dataset.images) || now.revision > Number(changed.dataset.revision)) {
      changed.hidden = false;
      clearInterval(looking);
    }
  }, SECONDS_BETWEEN_LOOKS * 1000);
}
