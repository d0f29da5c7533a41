"""Photos in files -> rows: printed as they come, or written part by part so that an interrupted run can continue."""
