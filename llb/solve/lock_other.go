//go:build !unix

package solve

// lock is for systems that can lock a directory.
func (s *staging) lock() (unlock func()) { return func() {} }
