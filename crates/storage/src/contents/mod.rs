//! What is in a layer: a tar becomes files, and files become the same tar again.
