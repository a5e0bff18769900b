"use strict";
// Follows an import without reloading its page. Everything works without this script, by a link.

const SECOND = 1000;

class LoggedOut extends Error {}

async function fetchJson(url) {
    const answer = await fetch(url, {headers: {Accept: "application/json"}});
    if (answer.redirected) throw new LoggedOut();
    if (!answer.ok) throw new Error(answer.status);
    return answer.json();
}

// The run's page as it is now, in place of what it was.
async function renew() {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const was = document.getElementById("run");
    const focused = was.contains(document.activeElement);
    const now = page.getElementById("run");
    was.replaceWith(now);
    if (focused) now.focus();
    document.title = page.title;
    document.getElementById("announced").textContent = now.querySelector(".lead").textContent;
}

function follow(box) {
    const bar = box.querySelector("progress");
    const text = box.querySelector("[role=status]");
    const lost = box.querySelector(".lost");
    const look = async () => {
        try {
            const now = await fetchJson(box.dataset.progress);
            if (!now.working) return renew();
            if (now.percent === null) bar.removeAttribute("value");
            else bar.value = now.percent;
            if (text.textContent !== now.text) text.textContent = now.text;
            lost.hidden = true;
        } catch (error) {
            // The import goes on without us; the next look may fare better.
            lost.textContent = error instanceof LoggedOut
                ? "You are logged out. The import goes on; log in again to follow it."
                : "The connection is lost. The import goes on; this page tries again every second.";
            lost.hidden = false;
        }
        setTimeout(look, SECOND);
    };
    look();
}

function waitForRun() {
    const look = async () => {
        try {
            const {url} = await fetchJson(location.href);
            if (url) return location.replace(url);
        } catch {
            // The next look may fare better.
        }
        setTimeout(look, SECOND);
    };
    look();
}

const box = document.querySelector("[data-progress]");
if (box) follow(box);
if (document.querySelector("[data-wait-for-run]")) waitForRun();
