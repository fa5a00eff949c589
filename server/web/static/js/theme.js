// Light, dark, or as the system says; kept in this browser. Runs before the page is painted, so it is no module.
(() => {
  const KEY = "backtest-server-theme";
  const ORDER = ["auto", "light", "dark"];
  const root = document.documentElement;

  function read() {
    try {
      const kept = localStorage.getItem(KEY);
      return ORDER.includes(kept) ? kept : "auto";
    } catch {
      return "auto"; // storage may be switched off
    }
  }

  function show(theme) {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
  }

  show(read());
  root.setAttribute("data-scripts", ""); // for styles that make sense only where scripts run
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => { button.textContent = `Theme: ${read()}`; };
    let chosen = read();
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
      try { localStorage.setItem(KEY, chosen); } catch { /* it holds for this page */ }
      show(chosen);
      button.textContent = `Theme: ${chosen}`;
      document.dispatchEvent(new Event("themechange"));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      document.dispatchEvent(new Event("themechange"));
    });
  });
})();
