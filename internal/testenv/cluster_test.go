package testenv

import (
	"strconv"
	"testing"
	"time"
)

func TestCluster(t *testing.T) {
	c := Cluster(t, true)
	rdb := c.Client(t)
	for i := range 50 {
		if err := rdb.Set(t.Context(), "k"+strconv.Itoa(i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range c.Masters {
		if n := m.Client(t).DBSize(t.Context()).Val(); n == 0 || n == 50 {
			t.Errorf("master %d has %d keys of 50", i, n)
		}
	}
	for i := range 6 {
		if err := rdb.Set(t.Context(), "{tag}"+strconv.Itoa(i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	moved := 0
	for _, to := range c.Masters {
		if err := c.MoveSlot(t.Context(), "{tag}", to); err == nil {
			moved++
		}
	}
	if n, err := rdb.Get(t.Context(), "{tag}3").Int(); n != 3 || err != nil || moved < 2 {
		t.Errorf("after %d moves: %d, %v", moved, n, err)
	}
	c.Masters[0].AwaitReplica(t)
	c.Masters[0].Kill()
	Eventually(t, 30*time.Second, func() bool {
		rdb.ReloadState(t.Context())
		for i := range 50 {
			if n, err := rdb.Get(t.Context(), "k"+strconv.Itoa(i)).Int(); n != i || err != nil {
				return false
			}
		}
		return true
	}, "the replica in the place of its master")
}
