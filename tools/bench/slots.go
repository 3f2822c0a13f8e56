package main

import (
	"container/heap"
	"sync"
)

// slots are the requests a model server runs at once. The others wait, in the order of their arrival or of their
// priority (lower first, equals in the order of arrival): vLLM's two scheduling policies.
type slots struct {
	byPriority bool

	lock    sync.Mutex
	free    int
	arrived int
	waiting queue
}

type waiter struct {
	priority, arrived int
	admitted          chan struct{}
}

// take waits for a slot; false when the client is gone first.
func (s *slots) take(priority int, gone <-chan struct{}) bool {
	s.lock.Lock()
	if s.free > 0 {
		s.free--
		s.lock.Unlock()
		return true
	}
	if !s.byPriority {
		priority = 0
	}
	s.arrived++
	me := &waiter{priority, s.arrived, make(chan struct{})}
	heap.Push(&s.waiting, me)
	s.lock.Unlock()
	select {
	case <-me.admitted:
		return true
	case <-gone:
		s.abandon(me)
		return false
	}
}

func (s *slots) abandon(me *waiter) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for at, other := range s.waiting {
		if other == me {
			heap.Remove(&s.waiting, at)
			return
		}
	}
	s.next() // it was admitted at the same moment: the slot goes on to another
}

func (s *slots) leave() {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.next()
}

func (s *slots) next() {
	if len(s.waiting) == 0 {
		s.free++
		return
	}
	close(heap.Pop(&s.waiting).(*waiter).admitted)
}

// queue is a heap of those who wait.
type queue []*waiter

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].priority != q[j].priority {
		return q[i].priority < q[j].priority
	}
	return q[i].arrived < q[j].arrived
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*waiter)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
