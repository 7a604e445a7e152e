// Follows the board: replaces what is shown by what the server sends, and says so when it has lost contact.
"use strict";

const QUIET = 15000; // three beats without a word: the connection is dead, whatever the browser believes
const AGAIN = 2000;
const SMALL = 60; // lines of type on the screen's height
const build = document.documentElement.dataset.build;
const board = document.getElementById("board");
const contact = document.getElementById("contact");
let source = null;
let heard = Date.now();
let opened = 0;

function open() {
  if (source) source.close();
  opened = Date.now();
  source = new EventSource("events");
  source.addEventListener("board", (event) => {
    const news = JSON.parse(event.data);
    if (news.build !== build) { // the server is of another version now
      location.reload();
      return;
    }
    board.innerHTML = news.html; // drawn by the server, which escapes what people wrote
    found();
    fit();
  });
  source.addEventListener("beat", found);
  source.addEventListener("error", lost);
}

function found() {
  heard = Date.now();
  contact.hidden = true;
  document.body.classList.remove("lost");
}

function lost() {
  if (!contact.hidden) return;
  const since = board.querySelector(".clock").lastChild.textContent; // the event's clock, whatever this screen's says
  contact.textContent = `No contact with the board since ${since}: what you see may be old. Trying again.`;
  contact.hidden = false;
  document.body.classList.add("lost");
  fit();
}

// A browser tries again by itself, but not after an answer such as a proxy's 502, and not on a connection that is dead.
setInterval(() => {
  const now = Date.now();
  if (now - heard > QUIET) lost();
  if (now - opened > AGAIN && (source.readyState === EventSource.CLOSED || now - Math.max(heard, opened) > QUIET)) open();
}, 1000);

// The largest type with which everything is on the screen; where that is small, with less of each card. On a phone, and
// where even the least does not fit, one scrolls.
function fit() {
  const root = document.documentElement;
  document.title = board.querySelector("h1")?.textContent ?? document.title;
  document.body.classList.remove("dense");
  root.style.fontSize = "";
  if (innerWidth <= 700) return;
  if (largest(root) >= innerHeight / SMALL) return;
  document.body.classList.add("dense");
  largest(root);
}

function largest(root) {
  let least = 8, most = innerWidth / 40;
  const fits = (size) => {
    root.style.fontSize = `${size}px`;
    return root.scrollHeight <= innerHeight && root.scrollWidth <= innerWidth;
  };
  if (fits(most)) return most;
  while (most - least > 0.25) {
    const middle = (least + most) / 2;
    if (fits(middle)) least = middle;
    else most = middle;
  }
  fits(least);
  return least;
}

addEventListener("resize", fit);
fit();
open();
