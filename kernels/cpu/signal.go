package cpu

import (
	"sync/atomic"
	"time"
)

// signal is how one goroutine tells another to go on. Who waits looks for it a short while before it sleeps: Go's scheduler
// takes 100 µs and more until another thread runs a goroutine that was woken, and the next operation of a network mostly
// comes before that. The while doubles when that was so and halves when it was not, so that little is wasted where other
// processes keep the other goroutine from running. (Sleeping in a futex wakes faster on a quiet machine, but made the demo
// picture 20 to 40 per cent slower beside other processes: a woken thread took the caller's processor.)
type signal struct {
	state atomic.Uint32
	look  time.Duration // of who waits, up to most
	most  time.Duration
	woken chan struct{}
}

func newSignal(look time.Duration) signal {
	return signal{look: look, most: look, woken: make(chan struct{}, 1)}
}

const (
	unset uint32 = iota
	set
	asleep // unset, and who waits sleeps
)

// raise sets the signal. It must not be set already.
func (s *signal) raise() {
	if s.state.Swap(set) == asleep {
		select {
		case s.woken <- struct{}{}:
		default: // left from before
		}
	}
}

// withdraw takes a raised signal back, unless it was seen already.
func (s *signal) withdraw() bool { return s.state.CompareAndSwap(set, unset) }

// wait returns when the signal is raised, and clears it.
func (s *signal) wait() {
	for {
		begin := time.Now()
		for i := 1; ; i++ {
			if s.state.Load() == set && s.state.CompareAndSwap(set, unset) {
				s.look = min(2*s.look, s.most)
				return
			}
			if i%64 == 0 && time.Since(begin) >= s.look {
				break
			}
		}
		s.look = max(s.look/2, s.most/64)
		s.state.CompareAndSwap(unset, asleep)
		for s.state.Load() == asleep {
			<-s.woken // it may be left from before
		}
	}
}
