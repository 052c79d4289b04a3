//! Records as operators read and change them, on the public interface of the store alone.
