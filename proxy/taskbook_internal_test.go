package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// However many tasks one user has, with however many tokens: another's stay, and of the user's own the latest.
func TestNobodyPushesOutTheTasksOfOthers(t *testing.T) {
	book := newTaskBook(time.Now)
	alices := taskCaller{"alice", "token", "server"}
	book.learn(knownTask{caller: alices, id: "hers"})
	var last taskCaller
	const many = 2 * maxTaskBytes / (10 << 10)
	for n := range many {
		last = taskCaller{"mallory", fmt.Sprint("token", n), "server"}
		book.learn(knownTask{caller: last, id: "his", ours: strings.Repeat("x", 10<<10)})
	}
	if book.find(alices, "hers") == nil {
		t.Error("the task of one user was pushed out by those of another")
	}
	if book.find(last, "his") == nil {
		t.Error("the latest task is not known")
	}
	if got := book.users["mallory"]; got > maxTaskBytesOfUser || got < maxTaskBytesOfUser/2 {
		t.Errorf("one user's tasks take %d bytes, of %d", got, maxTaskBytesOfUser)
	}
	total := 0
	for _, bytes := range book.users {
		total += bytes
	}
	if total != book.bytes {
		t.Errorf("the users' tasks take %d bytes, all take %d", total, book.bytes)
	}
	for n := range many {
		if task := book.find(taskCaller{"mallory", fmt.Sprint("token", n), "server"}, "his"); task != nil {
			book.forget(task)
		}
	}
	if _, kept := book.users["mallory"]; kept {
		t.Error("a user without tasks is remembered")
	}
}
