//go:build !unix

package weights

// Release would give the memory of the mapped files back to the system; here the system does so by itself.
func (s *Store) Release() {}

// ReleaseData is Release of a tensor's Data.
func (s *Store) ReleaseData([]byte) {}
