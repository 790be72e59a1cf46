// Shows times in the reader's time zone; without this script they stay in UTC, and say so.
(() => {
  const shown = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" };
  const localise = (part) => {
    for (const time of part.querySelectorAll("time.local[datetime]")) {
      const moment = new Date(time.dateTime);
      if (time.title || Number.isNaN(moment.valueOf())) continue;
      time.title = time.textContent;
      time.textContent = new Intl.DateTimeFormat(document.documentElement.lang, shown).format(moment);
    }
  };
  localise(document);
  document.addEventListener("htmx:load", (event) => localise(event.detail.elt.parentElement ?? document));
})();
